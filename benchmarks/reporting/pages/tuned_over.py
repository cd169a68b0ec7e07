"""What a method's settings were tuned over, a column of the page of what each method was given."""

import pandas as pd

from benchmarks.reporting.frames import values_of
from benchmarks.reporting.table import NOTHING

NOTE = (
    "Tuned over: the settings whose values are the best of so many trials on held-out training "
    "images and tuning seeds, by one rule for all methods (python -m benchmarks.tune --all). Not "
    "tuned: the method has such settings, and they are the papers' or the suite's. Without such "
    f"settings: {NOTHING}. The learning rate of local training is the task's, the same for all."
)


def tuned_over(rows: pd.DataFrame) -> str:
    """ "lr, mu: 8 trials", "not tuned", or a dash for a method without settings that are tuned."""
    if not any(values_of(rows, "tunable")):
        return NOTHING
    texts = []
    for settings in values_of(rows, "tuned_settings"):
        trials = rows.loc[rows["tuned_settings"] == settings, "tuned_trials"]
        texts += [f"{settings.replace(' ', ', ')}: {int(n)} trials" for n in trials.unique() if n]
    return " | ".join(texts) or "not tuned"
