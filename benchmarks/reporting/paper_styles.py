"""The venues that ``--style`` knows. This module imports little: options are checked with it."""

from mosaic.fl.errors import did_you_mean

STYLES = ("neurips", "icml", "ieee")

STYLE_HELP = (
    "neurips | icml | ieee: write the figures as PDF too, in the widths and fonts of the venue's "
    "papers, into figures/STYLE/"
)


def check_style(style: str) -> None:
    """Check the name of a style; "" is none.

    Raises:
        InputError: there is no such style.
    """
    if style and style not in STYLES:
        raise did_you_mean("style", style, STYLES)
