"""The page: its sections, each of which may fail alone, and the file."""

import base64
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from benchmarks.reporting.frames import values_of
from benchmarks.reporting.names import number
from benchmarks.reporting.page.accuracy_charts import against_omega, curves
from benchmarks.reporting.page.alarms import alarms
from benchmarks.reporting.page.answer import answer
from benchmarks.reporting.page.context import Context
from benchmarks.reporting.page.cost_charts import against_cost
from benchmarks.reporting.page.fairness import all_tables, fairness
from benchmarks.reporting.page.methods_table import methods_table
from benchmarks.reporting.page.pictures import partitions, pictures
from benchmarks.reporting.page.rank_charts import forest, rank_diagram
from benchmarks.reporting.page.repeat import commands, provenance
from benchmarks.reporting.page.running import progress, runs
from benchmarks.reporting.page.sources import Sources
from benchmarks.reporting.parts import Failure, Failures, part
from benchmarks.texts import one_line, utf8
from mosaic.fl.files import write_whole

NAME = "report.html"

TEMPLATES = Path(__file__).parent / "html"

Section = tuple[str, str, str, Callable[[], dict[str, Any]]]
"""The section's id, its heading, its template, and what makes the template's values."""

WITHOUT_RESULTS = ("answer", "run", "alarms", "sources", "repeat")
"""The sections of records in which no cell is finished."""

# What the notes above the figures say
OMEGA = (
    "Last round, mean over seeds, with 95 % t intervals. In front: the reference, the best "
    "method of each omega, floor and ceiling; put the pointer on another one, or untick methods."
)
COST = (
    "Last round, means over seeds. The dashed line is the Pareto front: no competitor is both "
    "cheaper and better than one on it. Its methods are numbered, from the cheapest on, and named "
    "below each figure; put the pointer on any other one."
)
CURVES = "Test accuracy by round, means over seeds; a single point: scored once."
RANKS = (
    "Mean rank over all pairs of omega and seed that every competitor finished, ± half of "
    "Nemenyi's critical difference: where two bars do not overlap, the ranks differ at .05."
)
FOREST = (
    "Method minus reference, paired by seed, with 95 % t intervals. Filled: significant after "
    "Holm's correction over all settings. One pair has no interval."
)


def write_page(
    sources: Sources, reference: str, path: Path, failures: Failures | None = None
) -> Path:
    """Write the page of some records.

    Args:
        sources: the records, and where they are from.
        reference: label of the method that the others are compared with.
        path: the file; its folder exists.
        failures: get the sections that cannot be made, which the page names; None: the same, and
            their errors are raised afterwards.

    Returns:
        The path.
    """
    found: Failures = []
    text = page_of(sources, reference, found)
    write_whole(path, utf8(text))
    if failures is not None:
        failures += found
    elif found:
        raise found[0].error
    return path


def page_of(sources: Sources, reference: str, failures: Failures) -> str:
    """The page as text; see :func:`write_page`."""
    context = Context(sources.records, reference)
    environment = Environment(
        loader=PackageLoader("benchmarks.reporting", "page/html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rendered = []
    for name, heading, template, values in _sections(context, sources, failures):
        before = len(failures)
        html = Markup("")
        with part(f"{NAME}: {heading}", failures):
            html = Markup(environment.get_template(template).render(**values()))
        error = failures[-1].text if len(failures) > before else ""
        rendered.append({"id": name, "heading": heading, "html": html, "error": error})

    scripts = [_script("vega.js"), _script("page.js")]
    page = environment.get_template("page.html")
    return page.render(
        title=_title(context),
        has_results=len(context.done) > 0,
        sections=rendered,
        filters=_filters(context, failures),
        style=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        scripts=scripts,
        hashes=" ".join(_hash(script) for script in scripts),
    )


def _sections(context: Context, sources: Sources, failures: Failures) -> list[Section]:
    figures = "figures.html"
    sections: list[Section] = [
        ("answer", "The answer", "answer.html", partial(answer, context)),
        ("table", "Methods by setting", "table.html", partial(methods_table, context)),
        (
            "omega",
            "Accuracy against omega",
            figures,
            lambda: _figures(against_omega(context), OMEGA),
        ),
        ("bytes", "Accuracy against bytes", figures, lambda: _cost(context, "bytes")),
        ("flop", "Accuracy against FLOP", figures, lambda: _cost(context, "FLOP")),
        ("curves", "Learning curves", figures, lambda: _figures(curves(context), CURVES)),
        ("ranks", "Mean ranks", figures, lambda: _figures(rank_diagram(context), RANKS)),
        ("forest", "Paired differences", figures, lambda: _figures(forest(context), FOREST)),
        ("partition", "Who holds which labels", "partitions.html", partial(partitions, context)),
        ("pictures", "Generated images", "pictures.html", partial(pictures, context)),
        ("alarms", "Alarms", "alarms.html", partial(alarms, context)),
        ("fairness", "What each method was given", "pages.html", partial(fairness, context)),
        ("tables", "Every number", "pages.html", partial(all_tables, context, failures)),
        (
            "sources",
            "Where the records come from",
            "sources.html",
            lambda: provenance(context, sources),
        ),
        ("repeat", "Run a cell again", "repeat.html", partial(commands, context)),
    ]
    found = runs(sources)
    if found:
        sections.insert(1, ("run", "How far the run is", "running.html", lambda: progress(found)))
    if not len(context.done):
        return [section for section in sections if section[0] in WITHOUT_RESULTS]
    return sections


def _figures(charts: list[Any], note: str) -> dict[str, Any]:
    return {"charts": charts, "note": note}


def _cost(context: Context, what: str) -> dict[str, Any]:
    return _figures(against_cost(context, what), COST)


def _filters(context: Context, failures: Failures) -> dict[str, Any]:
    """The choices of the filters; those with one choice are not shown."""
    values: dict[str, Any] = {"choices": [], "methods": []}
    try:
        methods = list(context.methods.values())
        datasets = values_of(context.records, "dataset")
        widths = values_of(context.records, "widths")
        families = dict.fromkeys(method.family for method in methods)
        data_free = dict.fromkeys(method.data_free for method in methods)
        omegas = [(number(omega), text) for omega, text in context.omegas.items()]
        choices = {
            "dataset": ("Data set", [(name, one_line(name)) for name in datasets]),
            "widths": ("Widths", [(name, one_line(name)) for name in widths]),
            "omega": ("Omega", omegas),
            "family": ("Clients send", [(family, family) for family in families]),
            "data-free": ("Data-free", [(text, text) for text in data_free]),
        }
        for name, (heading, options) in choices.items():
            if len(options) > 1:
                values["choices"].append({"name": name, "heading": heading, "options": options})
        values["methods"] = methods
    except Exception as error:  # the page without filters is better than none
        failures.append(Failure(f"{NAME}: filters", error))
    return values


def _title(context: Context) -> str:
    suites = [one_line(str(name)) for name in values_of(context.records, "suite")]
    return f"Mosaic-Bench: {', '.join(suites[:4])}" if suites else "Mosaic-Bench"


def _script(name: str) -> Markup:
    """A script of this package, which has no text of a user."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def _hash(script: str) -> str:
    """The source expression of a content security policy that lets this script alone run."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
