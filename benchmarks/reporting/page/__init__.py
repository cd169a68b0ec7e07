"""The report as one page, ``report.html``: what it shows, section by section, and its templates."""
