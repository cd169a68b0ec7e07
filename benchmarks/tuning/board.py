"""What the terminal shows of a study: one line per finished trial, and a progress bar below."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from benchmarks.running.progress import duration
from benchmarks.running.stopping import on_stop_say
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.retries import counted

WORDS = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
COLOURS = {"done": "green", "pruned": "yellow", "failed": "red"}
PER_CENT = {"accuracy"}
"""Objectives that are fractions, and shown in per cent."""


@contextmanager
def board(
    study: optuna.Study, plan: Plan, jobs: int, console: Console
) -> Iterator[tuple[Callable[[str, str], None], Callable[[], None]]]:
    """Show the study while the block runs.

    Args:
        study: The study.
        plan: Its plan.
        jobs: Number of processes, for the time left.
        console: Where it is shown.

    Yields:
        ``announce(process, doing)``, which shows what a process does now; with "warning" as the
        process it prints a text. And ``refresh()``, which shows trials that have finished.
    """
    doing_now: dict[str, str] = {}
    shown = {trial.number for trial in study.get_trials(False) if trial.state.is_finished()}
    with trials_bar(console) as bar:
        line = bar.add_task("", total=plan.trials, now="")

        n_finished = 0

        def state() -> str:
            text = f"{n_finished} of {plan.trials} trials are done and kept; "
            text += "the same command goes on"
            if 0 < n_finished < plan.trials:
                text += f", and with --trials {n_finished} it writes their tables"
            return text

        def refresh() -> None:
            nonlocal n_finished
            trials = counted(study, study.get_trials(False))
            finished = [trial for trial in trials if trial.state.is_finished()]
            n_finished = len(finished)
            for trial in finished:
                if trial.number not in shown:
                    shown.add(trial.number)
                    console.print(finished_line(trial, plan), highlight=False, soft_wrap=True)
            doing = "; ".join(text for text in doing_now.values() if text)
            now = f"{escape(status(study, plan, jobs))}  [dim]{escape(doing)}[/]"
            bar.update(line, completed=len(finished), now=now)

        on_stop_say(state)
        refresh()
        yield announcer(console, doing_now, refresh), refresh
        refresh()


def trials_bar(console: Console) -> Progress:
    """A bar of the trials done, with a text "now" behind it; on a terminal only."""
    columns: list[Any] = [
        BarColumn(20),
        MofNCompleteColumn(),
        TextColumn("trials"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[now]}", table_column=Column(overflow="fold")),
    ]
    return Progress(*columns, console=console, disable=not console.is_terminal)


def announcer(
    console: Console, doing_now: dict[str, str], refresh: Callable[[], None]
) -> Callable[[str, str], None]:
    """``announce(process, doing)`` of a board: see :func:`board`."""

    def announce(process: str, doing: str) -> None:
        if process == "warning":
            console.print(f"[yellow]{escape(doing)}[/]", highlight=False, soft_wrap=True)
            return
        doing_now[process] = doing
        refresh()

    return announce


def status(study: optuna.Study, plan: Plan, jobs: int) -> str:
    """One line: the best value so far, trials done, pruned and failed, and the time left."""
    trials = counted(study, study.get_trials(False))
    states = [trial.state for trial in trials]
    counts = ", ".join(f"{states.count(state)} {word}" for state, word in WORDS.items())
    texts = [best_text(study, plan), counts]

    seconds = [
        (trial.datetime_complete - trial.datetime_start).total_seconds()
        for trial in trials
        if trial.state.is_finished() and trial.datetime_start and trial.datetime_complete
    ]
    if len(seconds) > 1:
        seconds = seconds[1:]  # the first trial computes stages that all others reuse
    n_left = plan.trials - sum(state.is_finished() for state in states)
    if seconds and n_left > 0:
        left = n_left * sum(seconds) / len(seconds) / jobs
        texts.append(f"about {duration(left)} left")
    return " · ".join(texts)


def best_text(study: optuna.Study, plan: Plan) -> str:
    """The best value so far, or with several objectives the size of the Pareto front."""
    if not any(trial.state == TrialState.COMPLETE for trial in study.get_trials(False)):
        return "no result yet"
    if len(plan.objectives) > 1:
        return f"{len(study.best_trials)} on the Pareto front"
    return f"best {values_text(study.best_trial.values, plan)} (trial {study.best_trial.number})"


def finished_line(trial: FrozenTrial, plan: Plan) -> str:
    """One line for a finished trial, with Rich's markup: state, number, settings, result."""
    word = WORDS[trial.state]
    params = ", ".join(f"{key}={short(value)}" for key, value in trial.params.items())
    result = _result_text(trial, plan)
    return f"[{COLOURS[word]}]{word:7}[/] trial {trial.number}  {escape(params)}  {escape(result)}"


def _result_text(trial: FrozenTrial, plan: Plan) -> str:
    """The objectives' means over the finished seeds and the time; of a failed trial the reason."""
    names = plan.parts.values()
    rows = [trial.user_attrs[name] for name in names if name in trial.user_attrs]
    if trial.values is None or not rows:
        return trial.user_attrs.get("reason", "")

    means = [sum(row[name] for row in rows) / len(rows) for name in plan.objectives]
    wall = duration(sum(row["wall_s"] for row in rows))
    saved = duration(sum(row["saved_s"] for row in rows))
    return f"{values_text(means, plan)}  {wall}, {saved} saved by the cache"


def values_text(values: list[float], plan: Plan) -> str:
    """The objectives with their values, e.g. "accuracy 94.10 %, seconds 12.3"."""
    pairs = zip(plan.objectives, values, strict=True)
    return ", ".join(f"{name} {value_text(name, value)}" for name, value in pairs)


def value_text(objective: str, value: float) -> str:
    """An objective's value as tables show it: accuracies in per cent, others with 4 digits."""
    if objective in PER_CENT:
        return f"{100 * value:.2f} %"
    return f"{value:.4g}"


def short(value: Any) -> str:
    """A setting's value as text; floats with 4 digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
