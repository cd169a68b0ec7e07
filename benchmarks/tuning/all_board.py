"""What the terminal shows of --all: a line per finished trial, and one bar for all studies."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import optuna
from optuna.trial import FrozenTrial
from rich.console import Console
from rich.markup import escape

from benchmarks.running.progress import duration
from benchmarks.running.stopping import on_stop_say
from benchmarks.tuning.board import announcer, finished_line, trials_bar
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.retries import counted

PAUSE_S = 1.0
"""So long is waited between two looks at all studies, which are read from their journals."""

Studies = dict[str, tuple[optuna.Study, Plan]]
"""Studies and their plans, by method."""


@contextmanager
def board_of_all(
    studies: Studies, jobs: int, console: Console
) -> Iterator[tuple[Callable[[str, str], None], Callable[[], None]]]:
    """Show the studies while the block runs.

    Args:
        studies: The studies.
        jobs: Number of processes, for the time left.
        console: Where it is shown.

    Yields:
        ``announce(process, doing)`` and ``refresh()``, as ``board.board`` does.
    """
    doing_now: dict[str, str] = {}
    shown: set[tuple[str, int]] = set()
    for method, trials in finished_of_all(studies).items():  # those of an earlier command
        shown.update((method, trial.number) for trial in trials)
    total = sum(plan.trials for _, plan in studies.values())
    n_done = len(shown)
    looked = 0.0
    with trials_bar(console) as bar:
        line = bar.add_task("", total=total, now="")

        def state() -> str:
            return f"{n_done} of {total} trials are done and kept; the same command goes on"

        def look() -> None:
            nonlocal n_done, looked
            looked = time.monotonic()
            finished = finished_of_all(studies)
            n_done = sum(map(len, finished.values()))
            left = time_left(studies, finished, jobs)
            # The bar is on terminals only
            note = "" if console.is_terminal else f"  [dim]({n_done} of {total}; {left})[/]"
            for text in _new_lines(studies, finished, shown):
                console.print(text + note, highlight=False, soft_wrap=True)
            doing = "; ".join(text for text in doing_now.values() if text)
            bar.update(line, completed=n_done, now=f"{left}  [dim]{escape(doing)}[/]")

        def refresh() -> None:
            if time.monotonic() - looked > PAUSE_S:
                look()

        on_stop_say(state)
        look()
        yield announcer(console, doing_now, refresh), refresh
        look()


def _new_lines(
    studies: Studies, finished: dict[str, list[FrozenTrial]], shown: set[tuple[str, int]]
) -> Iterator[str]:
    """A line for each finished trial that is not among those that were shown; it joins them."""
    for method, trials in finished.items():
        for trial in trials:
            if (method, trial.number) not in shown:
                shown.add((method, trial.number))
                yield f"{escape(method)} {finished_line(trial, studies[method][1])}"


def finished_of_all(studies: Studies) -> dict[str, list[FrozenTrial]]:
    """The finished trials of each study that count, by method."""
    finished = {}
    for method, (study, _) in studies.items():
        trials = counted(study, study.get_trials(False))
        finished[method] = [trial for trial in trials if trial.state.is_finished()]
    return finished


def time_left(studies: Studies, finished: dict[str, list[FrozenTrial]], jobs: int) -> str:
    """How long the missing trials take, if they take as long as those of the same method did.

    Methods without a finished trial count as the mean of the others.
    """
    seconds = {method: mean_seconds(trials) for method, trials in finished.items() if trials}
    if not seconds:
        return "time left: known after the first trials"
    overall = sum(seconds.values()) / len(seconds)
    total = 0.0
    for method, (_, plan) in studies.items():
        n_left = max(0, plan.trials - len(finished[method]))
        total += n_left * seconds.get(method, overall)
    return f"about {duration(total / jobs)} left"


def mean_seconds(trials: Sequence[FrozenTrial]) -> float:
    """Seconds per trial."""
    durations = [trial.duration.total_seconds() for trial in trials if trial.duration]
    return sum(durations) / max(1, len(durations))
