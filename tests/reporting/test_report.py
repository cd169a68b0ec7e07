"""The report: which generated images it shows."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.reporting.report import _write_pictures


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
