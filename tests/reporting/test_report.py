"""The report: which generated images it shows."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.reporting import report
from benchmarks.reporting.report import _write_pictures
from benchmarks.reporting.shown import Pictures


@pytest.mark.parametrize(
    "widths, shown", [(["mixed", "full"], "full"), (["rho=10", "rho=5"], "rho=10")]
)
def test_generated_images_are_shown_for_one_kind_of_widths_full_where_there_is_it(
    widths, shown, tmp_path, monkeypatch
):
    (tmp_path / "pictures").mkdir()
    for shade, name in enumerate(widths):
        images = np.full((1, 8, 1, 4, 4), shade, dtype=np.uint8)
        np.savez_compressed(
            tmp_path / "pictures" / f"{name}.npz", clients=[0], generated=images, real=images
        )
    what = {
        "status": "done",
        "seed": 0,
        "label": "mosaic",
        "dataset": "digits",
        "omega": 1.0,
        "n_clients": 4,
    }
    records = pd.DataFrame([what | {"widths": name, "cell": name} for name in widths])
    drawn = []
    monkeypatch.setattr(
        "benchmarks.reporting.report.generated_images",
        lambda panels, *_: drawn.append(panels[1][1][0, 0].max()),
    )
    _write_pictures(records, tmp_path)
    assert drawn == [widths.index(shown)]


def test_any_number_of_a_servers_images_is_drawn(tmp_path, monkeypatch):
    """Eight to a row; what is left of the last row is white."""
    drawn = []
    monkeypatch.setattr(report, "generated_images", lambda *given: drawn.append(given))
    images = np.arange(11, dtype=np.uint8).reshape(1, 11, 1, 1, 1)
    none = np.zeros((0, 0, 1, 1, 1), dtype=np.uint8)
    report.draw_pictures(Pictures(images, none, np.arange(0), ["dfrd"], {}), tmp_path, "x")
    [([(_, panel)], _, _, rows)] = drawn
    assert panel[..., 0, 0, 0].tolist() == [[*range(8)], [8, 9, 10, *[255] * 5]]
    assert rows == ["", ""]
