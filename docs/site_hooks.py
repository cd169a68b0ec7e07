"""Hooks for mkdocs: pages and files outside of docs/ become part of the site.

The links in all pages are those that work in the repository; here they are rewritten for the site.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

OUTSIDE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "examples/*.*",
    "results/README.md",
    "results/**/README.md",
    "results/**/table.md",
    "results/**/stability.md",
    "results/**/*.png",
    "results/**/*.txt",
    "results/**/trials.csv",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that match OUTSIDE, under their paths in the repository."""
    paths = {path for pattern in OUTSIDE for path in ROOT.glob(pattern)}
    for path in sorted(paths):
        name = path.relative_to(ROOT).as_posix()
        if path.is_file() and files.get_file_from_path(name) is None:
            files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links between docs/ and the rest of the repository."""
    path = page.file.src_uri
    if path.startswith(("results/", "examples/")) or path in ("CHANGELOG.md", "CONTRIBUTING.md"):
        return re.sub(r"\]\(((?:\.\./)*)docs/", r"](\1", markdown)
    return re.sub(r"\]\(\.\./(?=results/|examples/|CHANGELOG|CONTRIBUTING)", "](", markdown)
