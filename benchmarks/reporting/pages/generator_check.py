"""The lightweight generator alone: does it draw plausible images, as pass or fail?"""

import math

import pandas as pd

from benchmarks.reporting import comparison
from benchmarks.reporting.frames import mean_of
from benchmarks.reporting.names import omega_values, seeds_name, setting_name
from benchmarks.reporting.pages.differences import lines_by_omega, page_by_omega
from benchmarks.reporting.table import NOTHING, Page, short

NAME = "generator_check"
"""The page's name in a suite's ``pages``."""

LIMIT = 20
"""The FID that a generator of MNIST-like images should stay below."""

SCORES = {
    "FID domain": "fid_domain",
    "(floor)": "fid_domain_floor",
    "IS domain": "is_domain",
    "(real)": "is_domain_real",
    "duplicates": "duplicate_ratio",
    "classes": "classes_covered",
    "FID Inception": "fid_inception",
    "[floor]": "fid_inception_floor",
}

NOTE = (
    f"Parameters: of the generator. FID below {LIMIT}: over Inception's features where its weights "
    "were there, which is what papers mean; else over the features of a classifier of real images "
    "(domain), whose scale is another: read it beside its floor, the FID of real images against "
    "real ones. (real): the Inception Score of real images."
)


def generator_check_page(records: pd.DataFrame, setting: tuple) -> Page:
    """A row per omega and label that has generated images.

    Args:
        records: the setting's rows per cell and scored round.
        setting: data set, number of clients and widths.
    """
    last = comparison.selected_rounds(records, "last")
    if "fid_domain" not in last:
        last = last.assign(fid_domain=math.nan)
    last = last.dropna(subset=["fid_domain"])
    lines, rows_of_lines = lines_by_omega(last)
    cells = []
    for rows in rows_of_lines:
        scores = [short(mean_of(rows, column)) for column in SCORES.values()]
        cells.append([parameters_of(rows), *scores, verdict(rows)])
    header = ["parameters", *SCORES, f"FID < {LIMIT}"]
    caption = f"The generator alone on {setting_name(*setting)}"
    notes = [f"Means over seeds ({seeds_name(lines['n'])}). {NOTE}"]
    return page_by_omega(caption, lines, header, cells, notes, omega_values(records))


def verdict(rows: pd.DataFrame) -> str:
    """pass or fail, and over which features."""
    for column, name in (("fid_inception", "Inception"), ("fid_domain", "domain")):
        fid = mean_of(rows, column)
        if not math.isnan(fid):
            return f"{'pass' if fid < LIMIT else 'fail'} ({name})"
    return NOTHING


def parameters_of(rows: pd.DataFrame) -> str:
    """The number of a DCGAN's parameters; a dash where the records do not say."""
    # Not above: a report that has no such page needs no PyTorch
    import torch

    from mosaic.fl.data.datasets import DATASETS
    from mosaic.fl.synthesis.dcgan import Generator
    from mosaic.fl.synthesis.labelled import LABELLED

    row = rows.iloc[0]
    source = DATASETS.get(str(row["dataset"]))
    latent, ngf = (row.get(f"config.{name}", math.nan) for name in ("latent", "ngf"))
    is_labelled = row.get("config.generator") in LABELLED  # not a DCGAN
    if source is None or pd.isna(latent) or pd.isna(ngf) or is_labelled:
        return NOTHING
    with torch.device("meta"):
        network = Generator(int(latent), int(ngf), source.channels, source.size)
    return f"{sum(parameter.numel() for parameter in network.parameters()):,}"
