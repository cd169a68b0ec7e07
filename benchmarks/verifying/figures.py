"""Whether the figures of a folder are those that its records give.

The bytes of a figure depend on matplotlib's version, which each file names. A figure of this
version is compared by its pixels (PNG) or its numbers and texts (SVG); of another one only its name
is.
"""

import re
from collections import Counter
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.reporting.frames import groups, with_status
from benchmarks.reporting.names import number
from benchmarks.reporting.shown import SUBJECT
from benchmarks.running.folder_content import Content
from benchmarks.texts import file_names
from benchmarks.verifying.pages import TABLES, Report
from benchmarks.verifying.verdict import Verdict

ENDINGS = (".png", ".svg")
SAME_COLOUR = 2  # of 255: rounding in the last digit of a coordinate moves a pixel by so much
SAME_PLACE = 1e-2  # of a point of 1/72 inch
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
LINK = re.compile(r"figures/([\w.,=+-]+\.(?:png|svg))")
VERSION = re.compile(r"Matplotlib (?:version|v)([\d.]+\w*)")


def check_figures(content: Content, report: Report, other_version: bool, verdict: Verdict) -> None:
    """Compare the figures of a folder with those that its records give.

    Args:
        content: of the suite's folder.
        report: written anew.
        other_version: whether records are of another version of the code, whose figures may have
            looked otherwise. Then only names are compared.
        verdict: gets what was found.
    """
    folder, again = content.folder / "figures", report.folder / "figures"
    here, drawn = _names(folder), _names(again)
    linked = _linked(content.folder)
    has_report = any((content.folder / name).exists() for name in TABLES)
    if not here and not linked and not (content.as_run and has_report):
        return
    for name in sorted(here - drawn):
        if not (Path(name).stem in _of_pictures(report.records) and not _has_pictures(report)):
            verdict.differs(f"figures/{name} is not a figure that these records give")
    expected = linked | drawn if content.as_run else linked
    for name in sorted(expected - here):
        verdict.differs(f"figures/{name} is missing")
    left_out = drawn - here - expected
    if left_out:
        verdict.note(f"{len(left_out)} figures that these records give were not kept")

    n_equal = 0
    versions: Counter[str] = Counter()
    for name in sorted(here & drawn):
        version = _version(folder / name)
        if other_version or version != matplotlib.__version__:
            versions[version] += 1
            continue
        problem = _difference(folder / name, again / name)
        if problem:
            verdict.differs(f"figures/{name} {problem}")
        else:
            n_equal += 1
    if n_equal:
        verdict.agrees(f"{n_equal} figures: each is what the records give")
    if versions:
        by = ", ".join(f"{version} ({n})" for version, n in versions.items())
        verdict.note(
            f"{versions.total()} figures compared by name only: drawn by matplotlib {by}, here is "
            f"{matplotlib.__version__}" + (", or by another version of this code" * other_version)
        )


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*") if path.suffix in ENDINGS}


def _linked(folder: Path) -> set[str]:
    """The figures that the folder's own pages show."""
    pages = [path.read_text("utf-8", "replace") for path in folder.glob("*.md")]
    return {name for page in pages for name in LINK.findall(page)}


def _has_pictures(report: Report) -> bool:
    return (report.folder / "pictures").is_dir()


def _of_pictures(records: pd.DataFrame) -> set[str]:
    """Names of figures of generated images, which cannot be drawn again without the images."""
    texts = []
    for (label, dataset, n_clients, omega), _ in groups(with_status(records, "done"), SUBJECT):
        texts.append(f"generated_{label}_{dataset}_omega{number(omega)}_{n_clients}")
    return set(file_names(texts))


def _version(path: Path) -> str:
    """The version of matplotlib that drew a figure; "unknown" if the file does not say it."""
    if path.suffix == ".svg":
        text = path.read_text("utf-8", "replace")[:5000]
    else:
        try:
            with Image.open(path) as image:
                text = str(image.info.get("Software", ""))
        except (OSError, ValueError, SyntaxError):  # pillow's errors of damaged files
            return matplotlib.__version__  # it is damaged, and is compared to say so
    found = VERSION.search(text)
    return found[1] if found else "unknown"


def _difference(here: Path, again: Path) -> str:
    """How a figure differs from the one drawn anew; "" if it does not."""
    if here.read_bytes() == again.read_bytes():
        return ""
    if here.suffix == ".svg":
        same = _same_drawing(here.read_text("utf-8", "replace"), again.read_text("utf-8"))
        return "" if same else "is another drawing than the records give"
    try:
        with Image.open(here) as image:
            pixels = np.asarray(image.convert("RGBA"), dtype=int)
    except (OSError, ValueError, SyntaxError):
        return "cannot be read"
    with Image.open(again) as image:
        pixels_again = np.asarray(image.convert("RGBA"), dtype=int)
    if pixels.shape != pixels_again.shape:
        sizes = [f"{shape[1]}x{shape[0]}" for shape in (pixels.shape, pixels_again.shape)]
        return f"has {sizes[0]} pixels, and the records give {sizes[1]}"
    differing = (abs(pixels - pixels_again) > SAME_COLOUR).any(axis=-1)
    share = differing.mean()
    return f"differs in {share:.2%} of its pixels from what the records give" if share else ""


def _same_drawing(here: str, again: str) -> bool:
    """Whether two SVG files have the same texts, and the same numbers up to rounding."""
    if NUMBER.split(here) != NUMBER.split(again):
        return False
    numbers = zip(NUMBER.findall(here), NUMBER.findall(again), strict=True)
    return all(abs(float(a) - float(b)) <= SAME_PLACE for a, b in numbers)
