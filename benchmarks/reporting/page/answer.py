"""The answer in three sentences: who leads where, by how much, and what is not established."""

import math
from collections import Counter
from typing import Any, NamedTuple

import pandas as pd

from benchmarks.reporting import comparison
from benchmarks.reporting.frames import groups, of_label
from benchmarks.reporting.names import GIVEN_SPLIT, seeds_name
from benchmarks.reporting.page.context import Context
from benchmarks.reporting.significance import ALPHA
from benchmarks.reporting.table import p_value, short, signed
from benchmarks.texts import one_line

LEADERS = 3
"""Methods that the first sentence names."""


class Lead(NamedTuple):
    """The reference against the best other competitor of one group.

    Attributes:
        group: data set, number of clients, widths, omega.
        other: label of the best other competitor.
        points: reference minus other, percentage points.
        ci: half width of its 95 % interval; NaN for fewer than 2 pairs.
        p: after Holm's correction.
    """

    group: tuple
    other: str
    points: float
    ci: float
    p: float


def answer(context: Context) -> dict[str, Any]:
    """The sentences, as plain texts."""
    if not len(context.done):
        counts = context.records.drop_duplicates("cell")["status"].value_counts()
        text = ", ".join(f"{n} {status}" for status, n in counts.items()) or "no record"
        return {
            "sentences": [f"No method has finished a cell yet, so there is no answer ({text})."]
        }
    return {"sentences": [_who(context), _how_much(context), _not_established(context)]}


def _who(context: Context) -> str:
    """Who leads in how many groups, and where that is significant."""
    best = context.verdicts.loc[context.verdicts["best"].astype(bool)]
    surely = int(best["bold"].astype(bool).sum())
    led = Counter(best["label"])
    texts = []
    for label, n in led.most_common(LEADERS):
        rows = of_label(best, label)
        where = f" ({_where(context, rows)})" if len(best) > 1 else ""
        texts.append(f"{one_line(label)} in {n} of {len(best)}{where}")
    others = len(led) - LEADERS
    if others > 0:
        texts.append(f"{others} further {'method' if others == 1 else 'methods'} in the rest")

    verdict = "nowhere significantly better than every other method"
    if surely:
        verdict = f"in {surely} of {len(best)} significantly better than every other method"
    return f"Who leads, by the highest mean accuracy: {'; '.join(texts)}; the leader is {verdict}."


def _where(context: Context, rows: pd.DataFrame) -> str:
    """Groups in words: their settings and omegas; only their settings where there are many."""
    several = len(context.settings) > 1
    texts = []
    for setting, here in groups(rows, comparison.SETTING):
        omegas = ", ".join(context.omegas[omega] for omega in sorted(here["omega"].unique()))
        at = omegas if omegas == GIVEN_SPLIT else f"ω {omegas}"
        texts.append(f"{context.name_of(setting)}: {at}" if several else at)
    if len(texts) > LEADERS:
        return f"in {len(texts)} settings"
    return "; ".join(texts)


def leads(context: Context) -> list[Lead]:
    """The reference against the best other competitor, group by group."""
    found = []
    for group, rows in groups(comparison.competitors(context.differences), comparison.GROUP):
        rows = rows.loc[rows["n"] > 0]
        if not len(rows):
            continue
        row = rows.loc[rows["difference"].astype(float).idxmax()].to_dict()
        points = -100 * row["difference"]
        found.append(Lead(group, row["label"], points, 100 * row["ci"], row["p_holm"]))
    return sorted(found, key=lambda lead: lead.points)


def _how_much(context: Context) -> str:
    """The least and the greatest lead of the reference over the best other method."""
    reference = one_line(context.reference)
    found = leads(context)
    if not found:
        return (
            f"By how much: {reference} finished no cell beside a competitor, so there is no "
            "paired difference to it."
        )
    ends = [found[-1]] if len(found) == 1 else [found[-1], found[0]]
    texts = [_lead_text(context, lead) for lead in ends]
    n_ahead = sum(lead.points > 0 for lead in found)
    where = f", ahead in {n_ahead} of {len(found)}" if len(found) > 1 else ""
    return (
        f"By how much: against the best other method, {reference} is at {' and at '.join(texts)}"
        f"{where} (percentage points with 95 % intervals, paired by seed)."
    )


def _lead_text(context: Context, lead: Lead) -> str:
    *setting, omega = lead.group
    interval = "[one seed: no interval]"
    if math.isfinite(lead.ci):
        interval = f"[{signed(lead.points - lead.ci)}, {signed(lead.points + lead.ci)}]"
    where = context.omega_names[omega]
    if len(context.settings) > 1:
        where = f"{context.name_of(tuple(setting))}, {where}"
    text = f"{signed(lead.points)} {interval} against {one_line(lead.other)} ({where}"
    if math.isfinite(lead.p):
        text += f"; p Holm {p_value(lead.p)}"
    return f"{text})"


def _not_established(context: Context) -> str:
    """How many differences to the reference are not significant, and what could be detected."""
    seeds = seeds_name(context.summary["n"])
    table = context.differences
    tests = comparison.competitors(table.loc[table["n"] > 0])
    reference = one_line(context.reference)
    if not len(tests):
        return f"Not established: anything beyond the means ({seeds})."

    p_holm = tests.loc[:, "p_holm"]
    significant = tests.loc[(p_holm < ALPHA).astype(bool), "difference"]
    better = int((significant < 0).sum())
    worse = int((significant > 0).sum())
    open_tests = len(tests) - better - worse
    text = (
        f"Not established: {open_tests} of the {len(tests)} differences between {reference} and "
        f"its competitors ({seeds}; paired t-test, Holm's correction over all of them, α = .05; "
        f"{reference} is significantly better in {better} and worse in {worse})"
    )
    if not p_holm.notna().any():
        return f"{text}; so few seeds give no test, and no difference here is established."
    n, least, _ = comparison.power_of(context.records, context.reference)
    if math.isfinite(least):
        text += (
            f"; {n} seeds can only detect differences of {short(100 * least)} points or more, so "
            "'not significant' does not mean 'equal'"
        )
    return f"{text}."
