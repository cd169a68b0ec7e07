"""Bounds on a record's diagnostics: one that is crossed is a warning in the run's output and in the table's notes.

They are the seed's failure signatures: a collapsed generator, unbalanced experts, a meta model that did not learn, a
distillation that does harm.
"""

from collections.abc import Callable
from typing import Any

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
        "the generated images are far from real ones: FID {fid_domain:.3g}, real against real {fid_domain_floor:.3g}",
        lambda r: r["fid_domain"] > 50 * max(r["fid_domain_floor"], 1e-9) and r["is_domain"] < 2,
    ),
    (
        "the meta model learned nothing: {diag_meta_accuracy:.0%} on held-out prototypes, the experts' mean "
        "{diag_meta_accuracy_of_mean:.0%}",
        # by more than chance: some hundred prototypes are held out
        lambda r: r["diag_meta_accuracy"] < r["diag_meta_accuracy_of_mean"] - 0.05,
    ),
    (
        "the teacher ({accuracy_teacher:.1%}) is worse than the student's start ({accuracy_before:.1%})",
        lambda r: r["accuracy_teacher"] < r["accuracy_before"],
    ),
    (
        "distillation did harm: from {accuracy_before:.1%} to {accuracy:.1%}",
        lambda r: r["accuracy"] < r["accuracy_before"] - 0.005,
    ),
    (
        "the distillation loss did not fall: {diag_distil_loss_start:.3g} to {diag_distil_loss_end:.3g}",
        lambda r: r["diag_distil_loss_end"] > 0.95 * r["diag_distil_loss_start"],
    ),
)


def warnings_of(row: Row) -> str:
    """The alarms that a record's row raises, "; " between them; one whose numbers the row lacks is silent."""
    raised = []
    for text, crossed in CHECKS:
        try:
            if crossed(row):
                raised.append(text.format(**row))
        except (KeyError, TypeError):
            continue
    return "; ".join(raised)
