"""Labels that formats and figures may take for something else, and records that have them."""

from collections.abc import Sequence

import pandas as pd

ODD = [
    "a|b",
    "*bold* _it_ `code`",
    "[link](x) ![y](z)",
    "<b>html</b> &amp; &lt;",
    "Ba$$in",
    r"a$\foo$b",
    r"c:\new\\",
    "50 % & #1 {x} ~y~ ^z",
    "ours/w. GAN",
    "../up",
    "Müller ß",
    "中文",
    "😀 ok",
    "two\nlines\tand \x1b[31m\x07",
    "a\r\nb",
    "ours lr=0.1",
    "ours lr=0.1 k=2",
    "_hidden",
    "__",
    " ",
    ".",
    "--x-- ''y'' ``z`` ?` ,,",
    ":smile: :x:",
    "[bold]rich[/bold] [/]",
    "NA",
    "1",
    "1e3",
    "Ours",
    "ours",
    "ours?",
    "ours!",
    "x" * 300,
    "many words " * 30,
    "\u202edraobkcab",
    "# heading",
    "- item",
    "+1",
    "=1+1",
    "label,with;separators",
    '"quoted"',
    "'single'",
]
"""All of them are different labels."""


def labelled(labels: Sequence[str], omegas: Sequence[float] = (0.1, 1.0)) -> pd.DataFrame:
    """Records of methods with these labels: two seeds, two scored rounds, two kinds of payload."""
    rows = []
    for number, label in enumerate(labels):
        for omega in omegas:
            for seed in (0, 1):
                rows += _cell_rows(number, label, omega, seed)
    return pd.DataFrame(rows)


def as_grid(label: str) -> pd.DataFrame:
    """Records of one entry's grid of two settings, whose values have spaces."""
    frames = []
    for number, (when, k) in enumerate([("end", 1), ("end", 2), ("every round", 1)]):
        point = labelled([f"{label} protocol={when} k={k}"])
        cells = point["cell"] + f"grid{label}{number}"
        settings = {"config.protocol": when, "config.k": k}
        names = {"grid": label, "grid_settings": "protocol k", "cell": cells}
        frames.append(point.assign(**names, **settings))
    return pd.concat(frames, ignore_index=True)


def accuracy_of(number: int, seed: int = 0) -> float:
    """The last accuracy of the label with this number; all differ by 0.2 points or more."""
    return 0.95 - 0.004 * number + 0.002 * seed


def _cell_rows(number: int, label: str, omega: float, seed: int) -> list[dict]:
    names = {
        "suite": "odd",
        "cell": f"{number}-{omega}-{seed}",
        "label": label,
        "method": "mosaic",
        "status": "done",
        "reason": "",
        "warnings": "",
        "dataset": "digits",
        "omega": omega,
        "n_clients": 4,
        "widths": "full",
        "seed": seed,
        "grid": "",
        "grid_settings": "",
    }
    rows = []
    for t in (1, 2):
        rows.append(
            names
            | {
                "round": t,
                "accuracy": accuracy_of(number, seed) - 0.1 * (2 - t),
                "selection": "last+validation+oracle" if t == 2 else "",
                "upload_bytes": 2e6 * t,
                "download_bytes": 1e6 * t,
                "upload_bytes_model": 2e6 * t,
                "download_bytes_model": 1e6 * t,
                "method_s": 2.0 * t,
                "stage_s": 1.0,
            }
        )
    return rows
