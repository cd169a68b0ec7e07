"""The tables of a comparison: ``summary.csv`` for machines, ``table.md`` and ``table.tex`` for people.

Each (dataset, number of clients, widths) has four tables: accuracy by omega; cost and generators; the three ways to
pick a round side by side; and the paired differences to a reference. One more ranks the methods over everything.
What the numbers are, over how many seeds, and what went wrong stands under each. Only here are there per cent and MB.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from benchmarks.reporting import comparison as st
from benchmarks.reporting.pages.budget import data_free, fairness_page
from benchmarks.reporting.pages.communication import communication_page, wants_communication
from benchmarks.reporting.pages.published import published_pages
from benchmarks.reporting.table import Page, latex, markdown, mean_sd, p_value, short
from mosaic.fl.cache import write_whole

COSTS = {"upload MB": ("upload_bytes", 1e6), "download MB": ("download_bytes", 1e6)}  # heading: (column, its unit)
COSTS |= {"seconds": ("total_s", 1), "of stages": ("stage_s", 1), "CPU s": ("cpu_s", 1)}
COSTS |= {"TFLOP": ("flops", 1e12), "peak MB": ("peak_memory_bytes", 1e6)}
COSTS |= {"FID domain": ("fid_domain", 1), "(floor)": ("fid_domain_floor", 1)}
COSTS |= {"IS domain": ("is_domain", 1), "(real)": ("is_domain_real", 1)}
COSTS |= {"FID Inception": ("fid_inception", 1), "[floor]": ("fid_inception_floor", 1)}
COSTS |= {"IS Inception": ("is_inception", 1), "[real]": ("is_inception_real", 1)}
FACTS = ["scale", "device", "processor", "threads", "precision", "torch", "client_work", "server_work", "commit"]


def write_tables(records: pd.DataFrame, folder: Path, reference: str = "mosaic") -> list[Path]:
    """Write the three files (the LaTeX needs only booktabs) to the folder and return their paths.

    The differences are to ``reference``; where it finished nowhere, that table is left out.
    """
    pages = list(make_pages(records, reference))
    texts = {
        "summary.csv": st.summarise(records).to_csv(index=False, lineterminator="\n"),
        "table.md": "\n".join(map(markdown, pages)) or "No cell is recorded yet.\n",
        "table.tex": "% Needs \\usepackage{booktabs}.\n" + "\n".join(map(latex, pages)),
    }
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_whole(Path(folder) / name, text.encode())
    return [Path(folder) / name for name in texts]


def terminal_table(records: pd.DataFrame) -> Group:
    """Accuracy by omega, MB up and down and seconds of each method (mean over omega), for the end of a run."""
    return Group(*(_terminal_table(here, setting) for setting, here in records.groupby(st.SETTING)))


def _terminal_table(records: pd.DataFrame, setting: tuple) -> Table:
    rows = st.summarise(records)
    page = _accuracy_page(records, rows, setting, None)
    title = f"accuracy on {st.setting_name(*setting)}, per cent, last round, {st.seeds_name(rows['n'])}"
    table = Table(
        title=Text(title, "italic"), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    table.add_column("method", no_wrap=True)
    for heading in [*page.header[1:], "MB", "s"]:
        table.add_column(heading, justify="right", no_wrap=True)
    megabytes = (rows["upload_bytes"] + rows["download_bytes"]) / 1e6
    costs = rows.assign(megabytes=megabytes).groupby("method")[["megabytes", "total_s"]].mean()
    for i, method in enumerate(st.method_order(records)):
        cells = [Text(text, "bold" if (i, j) in page.bold else "") for j, text in enumerate(page.rows[i])]
        table.add_row(*cells, *(Text(short(cost)) for cost in costs.loc[method]))
    return table


def make_pages(records: pd.DataFrame, reference: str) -> Iterator[Page]:
    """All tables in the order they are printed: per setting, then over all settings."""
    for setting, here in records.groupby(st.SETTING):
        rows, differences = st.summarise(here), st.paired_differences(here, reference)
        yield _accuracy_page(here, rows, setting, reference)
        yield from published_pages(here, setting)
        if wants_communication(here):
            yield communication_page(here, setting)
        yield _cost_page(rows, setting)
        yield fairness_page(here)
        yield _selection_page(rows, setting)
        if len(differences):
            yield _difference_page(differences, setting, reference)
    ranks = st.average_ranks(records)
    if len(ranks) > 1 and ranks["n"].max() > 0:
        yield _rank_page(ranks, records, reference)


def _accuracy_page(records: pd.DataFrame, summary: pd.DataFrame, setting: tuple, reference: str | None) -> Page:
    omegas, methods = sorted(summary["omega"].unique()), st.method_order(records)
    cells = {(row.method, row.omega): row for row in summary.itertuples()}
    verdict = st.best_methods(records).set_index(["method", "omega"])
    worse, sure = set(verdict.index[verdict["worse"]]), set(verdict.index[verdict["bold"]])
    names = {st.FLOOR: f"{st.FLOOR} (floor)", st.CEILING: f"{st.CEILING} (ceiling)"}
    free = {m: data_free(records[records["method"] == m]) for m in methods}
    rows = [
        [names.get(m, m), free[m], *(_accuracy(cells.get((m, o)), (m, o) in worse) for o in omegas)] for m in methods
    ]
    bold = {(i, j) for i, m in enumerate(methods) for j, o in enumerate(omegas, start=2) if (m, o) in sure}
    seeds, several = st.seeds_name(summary["n"]), summary["n"].max() > 1
    notes = [f"Accuracies on the full test set; last round; {seeds}."]
    if several:
        notes.append(
            "± is the sample standard deviation over seeds (ddof 1). Bold: the best mean, where its paired difference "
            "to every other competitor is significant (paired t-test, Holm over those differences, α = .05). "
            "†: significantly worse than the best mean."
        )
    if {st.FLOOR, st.CEILING} & set(methods):
        notes.append(f"{st.FLOOR} (no collaboration) and {st.CEILING} (all data pooled) frame the others; not ranked.")
    caption = f"Accuracy on {st.setting_name(*setting)} (per cent{', mean ± sd' * bool(several)}, {seeds})"
    rules = {i for i in (1,) if methods[0] == st.FLOOR} | {len(rows) - 1 for m in methods[-1:] if m == st.CEILING}
    notes += [*(_power_notes(records, reference) if reference else ()), *_trouble_notes(records), *_fact_notes(records)]
    header = ["method", "data-free", *(f"ω {o:g}" for o in omegas)]
    return Page(caption, header, rows, notes, frozenset(bold), frozenset(rules), n_names=2)


def _cost_page(summary: pd.DataFrame, setting: tuple) -> Page:
    shown = {heading: cost for heading, cost in COSTS.items() if summary[cost[0]].notna().any()}
    notes = [
        f"Means over seeds ({st.seeds_name(summary['n'])}); bytes, seconds and FLOP up to the last round, all clients "
        "together. MB = 1e6 bytes, of the payloads that crossed. Seconds: the method's own code and the shared stages "
        "it uses, charged in full also where they came from the cache; scoring excluded. CPU s: the processor's over "
        "all threads, which other work on the machine does not lengthen. – : nothing to measure."
    ]
    if summary["fid_domain"].notna().any():
        sizes = ", ".join(sorted({f"{n:g}" for n in summary["fidelity_n"].dropna()}))
        notes.append(
            f"FID and IS (domain) are over the features of a classifier trained on {setting[0]}, n = {sizes} images: "
            "not comparable with an Inception FID. Floor: the FID of real images against real images; real: the IS of "
            "real images; both at the same n."
        )
    cells = [[short(row[column] / unit) for column, unit in shown.values()] for row in summary.to_dict("records")]
    return _by_omega(f"Cost and generators on {st.setting_name(*setting)}", summary, list(shown), cells, notes)


def _selection_page(summary: pd.DataFrame, setting: tuple) -> Page:
    ways = {"last": "accuracy", "validation-selected": "accuracy_validation_selected", "oracle": "accuracy_oracle"}
    cells = [[mean_sd(row[way], row[f"{way}_sd"]) for way in ways.values()] for row in summary.to_dict("records")]
    note = (
        f"Test accuracy, {st.seeds_name(summary['n'])}. Last: the last round (the headline). Validation-selected: the "
        "round with the best accuracy on held-out training data. Oracle: the round with the best test accuracy; it "
        "has seen the answers and is no result, only a bound."
    )
    caption = f"Which round is reported, on {st.setting_name(*setting)} (per cent)"
    return _by_omega(caption, summary, list(ways), cells, [note])


def _difference_page(differences: pd.DataFrame, setting: tuple, reference: str) -> Page:
    columns = {"points": "difference", "sd": "sd", "± 95% CI": "ci", "n": "n", "p": "p"}
    columns |= ({"p Wilcoxon": "p_wilcoxon"} if differences["p_wilcoxon"].notna().any() else {}) | {"p Holm": "p_holm"}
    write = dict.fromkeys(columns, p_value) | {
        "points": lambda d: f"{100 * d:+.1f}".replace("-", "−").replace("+nan", "–"),
        "n": str,
    }
    write |= dict.fromkeys(("sd", "± 95% CI"), lambda fraction: short(100 * fraction))
    cells = [[write[name](row[columns[name]]) for name in columns] for row in differences.to_dict("records")]
    family = ", ".join(f"{k} at ω {o:g}" for o, k in differences.groupby("omega")["holm_over"].first().items())
    note = (
        f"Method minus {reference}, paired by seed, last round: positive means better than {reference}. p: two-sided "
        f"paired t-test; Holm's correction over the tested competitors at each omega ({family}), floor and ceiling "
        "not counted. – where there is no test: fewer than 2 pairs, or every pair differs by the same amount."
    )
    caption = f"Paired differences to {reference} on {st.setting_name(*setting)} (percentage points)"
    return _by_omega(caption, differences, list(columns), cells, [note])


def _by_omega(caption: str, table: pd.DataFrame, header: list[str], cells: list[list[str]], notes: list[str]) -> Page:
    """A page with a row for each omega and method of the table, and a line where omega changes."""
    omegas = [f"{omega:g}" for omega in table["omega"]]
    rows = [[omega, method, *row] for omega, method, row in zip(omegas, table["method"], cells, strict=True)]
    rules = frozenset(i for i in range(1, len(rows)) if omegas[i] != omegas[i - 1])
    return Page(caption, ["ω", "method", *header], rows, notes, rules=rules, n_names=2)


def _rank_page(ranks: pd.DataFrame, records: pd.DataFrame, reference: str) -> Page:
    counts = st.win_tie_loss(records, reference).set_index("method")
    rows = []
    for method, rank in zip(ranks["method"], ranks["rank"], strict=True):
        versus = " / ".join(map(str, counts.loc[method, ["wins", "ties", "losses"]])) if method in counts.index else "–"
        rows.append([method, f"{rank:.2f}", versus])
    note = (
        f"Mean rank (1 is best) over the {ranks['n'].max()} blocks (dataset, clients, widths, omega, seed) that every "
        f"competitor finished. Win / tie / loss: of {reference} against the row's method, over the blocks that both "
        "finished; a tie is less than 0.05 points."
    )
    return Page("Ranks over all settings", ["method", "mean rank", f"{reference} wins / ties / loses"], rows, [note])


def _power_notes(records: pd.DataFrame, reference: str) -> Iterator[str]:
    n, least, sd = st.power_of(records, reference)
    if st.selected_rounds(records, "last")["seed"].nunique() == 1:
        yield "n = 1 seed: no spread and no test, so no difference here is established; run more seeds."
    elif math.isfinite(least):
        yield (
            f"Power: {n} seeds can only detect differences ≥ {short(100 * least)} points (paired t-test, 80 % power, "
            f"α = .05 before correction; the median sd of the differences to {reference} is {short(100 * sd)} points)."
        )


def _trouble_notes(records: pd.DataFrame) -> Iterator[str]:
    """Why cells failed or do not apply, what the records warn of, and whether the methods were paired at all."""
    for status, label in (("failed", "Failed"), ("skipped", "n/a")):
        yield from _told(records[records["status"] == status], "reason", label)
    for column in records.columns.intersection(["warnings", "notes"]):
        parts = records[column].astype(object).fillna("").astype(str).str.split("; ")
        yield from _told(records.assign(**{column: parts}).explode(column), column, "Warning")
    for omega, seed in st.unpaired_seeds(records) if "partition" in records else ():
        yield f"Warning: not paired: the methods ran on different partitions at ω {omega:g}, seed {seed}."


def _told(rows: pd.DataFrame, column: str, label: str) -> Iterator[str]:
    """One note a text of the column, with where it holds; of texts that differ in numbers only the first is told."""
    rows = rows[rows[column] != ""]
    alike = rows[column].astype(str).str.replace(r"\d[\d.,e%+-]*", "#", regex=True)
    for _, those in rows.groupby(alike, sort=False):
        where = [
            f"{method} at ω {', '.join(f'{o:g}' for o in sorted(part['omega'].unique()))}, "
            f"seed {', '.join(map(str, sorted(part['seed'].unique())))}"
            for method, part in those.groupby("method", sort=False)
        ]
        example = "e.g. " * (those[column].nunique() > 1) + " ".join(str(those[column].iloc[0]).split())[:300]
        yield f"{label}: {'; '.join(where)}: {example}"


def _fact_notes(records: pd.DataFrame) -> Iterator[str]:
    """How heterogeneous the partitions came out, and how the numbers were made; mixed values stand side by side."""
    realised = records.set_index("omega").filter(regex="^partition_").groupby("omega").mean().dropna(axis=1)
    for omega, row in realised.iterrows():
        texts = [f"{name.removeprefix('partition_').replace('_', ' ')} {short(value)}" for name, value in row.items()]
        yield from [f"Partitions at ω {omega:g}, on average: {', '.join(texts)}."] * bool(texts)
    values = {fact: records[fact].dropna().unique() for fact in FACTS if fact in records}
    texts = {fact: [f"{v:g}" if isinstance(v, float) else str(v) for v in mixed] for fact, mixed in values.items()}
    facts = [f"{fact.replace('_', ' ')} {' | '.join(mixed)}" for fact, mixed in texts.items() if 0 < len(mixed) <= 4]
    yield from [f"Made with: {'; '.join(facts)}."] * bool(facts)


def _accuracy(row: Any, worse: bool) -> str:
    """The cell of one method and omega; None where no such cell was asked for."""
    if row is None:
        return "–"
    failed = f"failed ({row.n_failed} of {row.n + row.n_failed + row.n_skipped})" if row.n_failed else ""
    if row.n == 0:
        return failed or "n/a"
    return "; ".join(filter(None, [mean_sd(row.accuracy, row.accuracy_sd) + " †" * worse, failed]))
