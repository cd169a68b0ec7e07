"""Bounds on a record's diagnostics. A bound that is crossed gives a warning in the notes of tables.

They are the known failure modes of data-free distillation: a collapsed generator, a meta model that
did not learn, a teacher worse than its student, a distillation that does harm.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.metrics.image_columns import LEAST_COVERAGE

Row = dict[str, Any]

CHECKS: tuple[tuple[str, Callable[[Row], bool]], ...] = (
    (
        "the generators repeat themselves: {duplicate_ratio:.0%} near-duplicates",
        lambda r: r["duplicate_ratio"] > 0.2,
    ),
    (
        "the generators cover {classes_covered:.0%} of the classes",
        lambda r: r["classes_covered"] < 1,
    ),
    (
        "a client's generator covers {worst_client_coverage:.0%} of the client's own classes",
        lambda r: r["worst_client_coverage"] < LEAST_COVERAGE,
    ),
    (
        "the generated images are far from real ones: FID {fid_domain:.3g}, real against real "
        "{fid_domain_floor:.3g}",
        lambda r: r["fid_domain"] > 50 * max(r["fid_domain_floor"], 1e-9) and r["is_domain"] < 2,
    ),
    (
        "the meta model learned nothing: {diag_meta_accuracy:.0%} on held-out prototypes, "
        "the experts' mean {diag_meta_accuracy_of_mean:.0%}",
        # by more than chance: some hundred prototypes are held out
        lambda r: r["diag_meta_accuracy"] < r["diag_meta_accuracy_of_mean"] - 0.05,
    ),
    (
        "the teacher ({accuracy_teacher:.1%}) is worse than the student's start "
        "({accuracy_before:.1%})",
        lambda r: r["accuracy_teacher"] < r["accuracy_before"],
    ),
    (
        "distillation did harm: from {accuracy_before:.1%} to {accuracy:.1%}",
        lambda r: r["accuracy"] < r["accuracy_before"] - 0.005,
    ),
    (
        "the distillation loss did not fall: {diag_distil_loss_start:.3g} to "
        "{diag_distil_loss_end:.3g}",
        lambda r: r["diag_distil_loss_end"] > 0.95 * r["diag_distil_loss_start"],
    ),
)
"""The text of each warning, and when a row gets it. The texts are formatted with the row."""


def warnings_of(row: Row) -> str:
    """Return the warnings that a row gets, as one text for the column ``warnings``.

    A check whose columns the row does not have gives none. :func:`split_warnings` is the inverse.
    """
    texts = []
    for text, crossed in CHECKS:
        try:
            if crossed(row):
                texts.append(text.format(**row))
        except (KeyError, TypeError):
            continue
    return join_warnings(texts)


def join_warnings(texts: Iterable[str]) -> str:
    """Join warnings by "; "; as a JSON list if that could not be split again."""
    texts = list(texts)
    joined = "; ".join(texts)
    if split_warnings(joined) == texts:
        return joined
    return json.dumps(texts, ensure_ascii=False)


def split_warnings(value: Any) -> list[str]:
    """Return the warnings in a value of the column ``warnings``, or ``notes``.

    Args:
        value: warnings joined by "; ", or a JSON list of them; None or NaN where there is none.
    """
    if not isinstance(value, str) or not value:
        return []
    if value.startswith("["):
        try:
            return [str(text) for text in json.loads(value)]
        except ValueError:
            pass  # a warning that begins with a bracket
    return value.split("; ")
