"""What the terminal shows of a study: a line a finished trial, and below them how far it is and how good."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.running.progress import duration
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.studies import counted

WORDS = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
COLOURS = {"done": "green", "pruned": "yellow", "failed": "red"}
PER_CENT = {"accuracy"}


@contextmanager
def board(
    study: optuna.Study, plan: Plan, jobs: int, console: Console
) -> Iterator[tuple[Callable[[str, str], None], Callable[[], None]]]:
    """Show the study while the block runs; yields ``tell(process, what it does now)`` and ``look()``, which refreshes.

    ``tell("warning", text)`` prints a text.
    """
    now: dict[str, str] = {}
    shown = {trial.number for trial in study.get_trials(False) if trial.state.is_finished()}
    columns: list[Any] = [
        BarColumn(20),
        MofNCompleteColumn(),
        TextColumn("trials"),
        TimeElapsedColumn(),
    ]
    columns.append(TextColumn("{task.fields[now]}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        line = bar.add_task("", total=plan.trials, now="")

        def look() -> None:
            trials = counted(study, study.get_trials(False))
            for trial in trials:
                if trial.state.is_finished() and trial.number not in shown:
                    shown.add(trial.number)
                    console.print(finished_line(trial, plan), highlight=False, soft_wrap=True)
            done = sum(trial.state.is_finished() for trial in trials)
            doing = f"  [dim]{escape('; '.join(filter(None, now.values())))}[/]"
            bar.update(line, completed=done, now=escape(status(study, plan, jobs)) + doing)

        def tell(who: str, what: str) -> None:
            if who == "warning":
                console.print(f"[yellow]{escape(what)}[/]", highlight=False, soft_wrap=True)
            else:
                now[who] = what
                look()

        look()
        yield tell, look
        look()


def status(study: optuna.Study, plan: Plan, jobs: int) -> str:
    """Best so far, trials done, pruned and failed, time left."""
    trials = counted(study, study.get_trials(False))
    states = [trial.state for trial in trials]
    counts = ", ".join(f"{states.count(state)} {word}" for state, word in WORDS.items())
    texts = [best_text(study, plan), counts]
    took = [
        (trial.datetime_complete - trial.datetime_start).total_seconds()
        for trial in trials
        if trial.state.is_finished() and trial.datetime_start and trial.datetime_complete
    ]
    took = took[1:] or took  # the first one computes what all the others reuse
    left = plan.trials - sum(state.is_finished() for state in states)
    if took and left > 0:
        texts.append(f"about {duration(left * sum(took) / len(took) / jobs)} left")
    return " · ".join(texts)


def best_text(study: optuna.Study, plan: Plan) -> str:
    if not any(trial.state == TrialState.COMPLETE for trial in study.get_trials(False)):
        return "no result yet"
    if len(plan.objectives) > 1:
        return f"{len(study.best_trials)} on the Pareto front"
    return f"best {values_text(study.best_trial.values, plan)} (trial {study.best_trial.number})"


def finished_line(trial: FrozenTrial, plan: Plan) -> str:
    word = WORDS[trial.state]
    rows = [
        trial.user_attrs[f"seed {seed}"]
        for seed in plan.seeds
        if f"seed {seed}" in trial.user_attrs
    ]
    result = trial.user_attrs.get("reason", "")
    if trial.values is not None and rows:
        means = [sum(row[name] for row in rows) / len(rows) for name in plan.objectives]
        result = values_text(means, plan)
        saved = sum(row["saved_s"] for row in rows)
        result += f"  {duration(sum(row['wall_s'] for row in rows))}, {duration(saved)} saved by the cache"
    params = ", ".join(f"{key}={short(value)}" for key, value in trial.params.items())
    return f"[{COLOURS[word]}]{word:7}[/] trial {trial.number}  {escape(params)}  {escape(result)}"


def values_text(values: list[float], plan: Plan) -> str:
    return ", ".join(
        f"{name} {value_text(name, v)}" for name, v in zip(plan.objectives, values, strict=True)
    )


def value_text(name: str, value: float) -> str:
    """An objective's value as a person reads it: accuracies in per cent."""
    return f"{100 * value:.2f} %" if name in PER_CENT else f"{value:.4g}"


def short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
