"""Figures: all there, deterministic, one style per method, nothing drawn for nothing."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.lines import Line2D

from benchmarks.planning.methods import facts_of
from benchmarks.reporting.figures import accuracy as plots
from benchmarks.reporting.figures import heatmaps, style
from benchmarks.reporting.figures.images import generated_images, label_distribution
from benchmarks.reporting.figures.ranks import cliques
from benchmarks.reporting.figures.style import method_styles
from benchmarks.reporting.figures.suite_figures import write_figures

CURVES = {
    "local": 0.42,
    "fedavg": 0.72,
    "fedprox": 0.73,
    "fedrolex": 0.66,
    "centralised": 0.91,
}  # accuracy at omega 1
ONE_SHOT = {"dense": 0.68, "mosaic": 0.78}
OMEGAS = (0.01, 0.1, 1.0)
MB = 10**6


def realistic_records(
    n_seeds: int = 2, widths: tuple[str, ...] = ("full", "mixed"), rounds: int = 20
) -> pd.DataFrame:
    """7 methods x 3 omegas with saturating curves, one-shot methods scored once, and FedAvg
    skipped at mixed widths.
    """
    rng = np.random.default_rng(0)
    rows = []
    for width in widths:
        for omega in OMEGAS:
            for seed in range(n_seeds):
                for method, top in {**CURVES, **ONE_SHOT}.items():
                    cell = f"{width}-{omega}-{seed}-{method}"
                    rows += cell_rows(cell, method, width, omega, seed, top, rounds, rng)
    return pd.DataFrame(rows)


def cell_rows(
    cell: str,
    method: str,
    width: str,
    omega: float,
    seed: int,
    top: float,
    rounds: int,
    rng: np.random.Generator,
) -> list[dict]:
    names = {
        "suite": "test",
        "cell": cell,
        "label": method,
        "dataset": "fashion-mnist",
        "omega": omega,
    }
    names |= {"n_clients": 10, "widths": width, "seed": seed, "scale": "quick"}
    if method in ("fedavg", "fedprox") and width == "mixed":
        return [names | {"status": "skipped", "reason": "averaging needs one architecture"}]
    if method == "dense" and omega == 0.01 and seed == 1:
        return [names | {"status": "failed", "reason": "loss is not finite"}]
    hard = {0.01: 0.3, 0.1: 0.12, 1.0: 0.0}[omega] * (method not in ("centralised", "mosaic"))
    scored = [rounds] if method in ONE_SHOT or method == "local" else [1, *range(2, rounds + 1, 2)]
    rows = []
    for t in scored:
        grown = 1.0 if len(scored) == 1 else 1 - 0.8 * np.exp(-4 * t / rounds)
        accuracy = float(np.clip((top - hard) * grown + rng.normal(0, 0.012), 0.05, 0.99))
        traffic = dict.fromkeys(("local", "centralised"), 0).get(
            method, 48 * MB * (1 if method in ONE_SHOT else t)
        )
        generator = 36 * MB * (method in ONE_SHOT)
        cost = {
            "upload_bytes_model": traffic,
            "download_bytes_model": traffic,
            "upload_bytes_generator": generator,
        }
        cost |= {
            "upload_bytes_prototypes": 2 * MB * (method == "mosaic"),
            "upload_bytes_counts": 80 * (traffic > 0),
        }
        cost |= {
            "upload_bytes": sum(v for k, v in cost.items() if k.startswith("upload")),
            "download_bytes": traffic,
        }
        cost |= {"method_s": 400.0 if method in ONE_SHOT else 6.0 * t, "stage_s": 60.0}
        rows.append(
            names | {"status": "done", "round": t, "accuracy": accuracy, "selection": ""} | cost
        )
    rows[-1]["selection"] = "last+validation+oracle"
    return rows


@pytest.mark.slow
def test_every_figure_is_written_twice_and_the_same_again(tmp_path):
    records = realistic_records(widths=("full",), rounds=6)
    records = records[records["omega"] < 1]
    first = write_figures(records, tmp_path / "a")
    again = write_figures(records, tmp_path / "b")
    names = [
        "accuracy_vs_omega",
        "learning_curves",
        "accuracy_vs_bytes",
        "accuracy_vs_seconds",
        "bytes_by_kind",
        "mean_ranks",
    ]
    assert [path.name for path in first] == [
        f"{name}.{suffix}" for name in names for suffix in ("png", "svg")
    ]
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(
        path.name for path in first
    )


def test_a_figure_with_nothing_to_show_is_not_written(tmp_path):
    records = realistic_records(n_seeds=1, widths=("full",))
    failed = records.assign(status="failed", selection="")
    assert write_figures(failed, tmp_path) == []
    assert label_distribution({}, tmp_path) == generated_images([], tmp_path, "images") == []
    assert not list(tmp_path.iterdir())


def test_every_method_has_a_look_of_its_own_in_colour_and_in_grey():
    methods = ["local", *(f"method {i}" for i in range(30)), "centralised"]
    records = pd.DataFrame({"label": methods})
    styles = method_styles(records)
    assert list(styles) == methods
    assert len({(style["marker"], str(style["linestyle"])) for style in styles.values()}) == len(
        methods
    )
    assert method_styles(records[:5]) == {method: styles[method] for method in methods[:5]}


def test_methods_that_ask_alike_of_clients_share_a_colour():
    facts = {
        m: facts_of(m)
        for m in ("fedavg", "fedprox", "fedcvae", "federatedfactory", "dense", "mosaic", "feddf")
    }
    records = pd.DataFrame(
        {"label": m, "needs": f["needs"], "protocol": f["protocol"]} for m, f in facts.items()
    )
    colours = {method: style["color"] for method, style in method_styles(records).items()}
    assert (
        colours["fedavg"] == colours["fedprox"]
        and colours["fedcvae"] == colours["federatedfactory"]
    )
    assert len(set(colours.values())) == 5


@pytest.mark.slow
def test_many_methods_stand_below_one_another(tmp_path):
    few = realistic_records(n_seeds=2, widths=("full",))
    many = pd.concat(
        few.assign(label=few["label"] + suffix, cell=few["cell"] + suffix)
        for suffix in ("", " b", " c")
    )
    few_path, many_path = (
        write_figures(few, tmp_path / "few")[0],
        write_figures(many, tmp_path / "many")[0],
    )
    assert few_path.stem == many_path.stem == "accuracy_vs_omega"
    first = many_path.read_bytes()
    assert (
        write_figures(many, tmp_path / "again")[0].read_bytes() == first
    )  # the same records, the same bytes
    svg = many_path.with_suffix(".svg").read_text()
    assert (
        svg.count("<!-- mosaic c -->") == 1
    )  # a name stands once: left of the first panel of a row


def test_one_cell_without_learning_curve_or_bytes(tmp_path):
    records = realistic_records(n_seeds=1, widths=("full",))
    alone = records[(records["label"] == "local") & (records["omega"] == 0.1)].assign(
        method_s=0.5, stage_s=0.0
    )
    assert {path.stem for path in write_figures(alone, tmp_path)} == {
        "accuracy_vs_omega",
        "accuracy_vs_seconds",
    }


def test_infinite_omega_stands_at_the_end_of_the_axis(tmp_path):
    records = realistic_records(n_seeds=1, widths=("full",), rounds=4).replace(
        {"omega": {1.0: np.inf}}
    )
    records = records[records["omega"] > 0.01]
    axes = plots.accuracy_vs_omega(records).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.1", "inf"]
    assert list(axes.get_xticks()) == pytest.approx([0.1, 1.0])  # infinity: ten times the largest
    assert len(write_figures(records, tmp_path)) == 12
    assert not plt.get_fignums()  # nothing is left in pyplot's global state


@pytest.mark.parametrize(("n_seeds", "title"), [(1, "n = 1 seed"), (3, "n = 2 to 3 seeds, ± 1 sd")])
def test_the_title_says_how_many_seeds_and_one_seed_has_no_bars(n_seeds, title):
    records = realistic_records(n_seeds, widths=("full",), rounds=2)
    figure = plots.accuracy_vs_omega(records)
    assert figure.get_suptitle().replace("\n", " ").endswith(title)
    bars = [container.lines[2] for container in figure.axes[0].containers]
    assert all(bool(lines) == (n_seeds > 1) for lines in bars)


@pytest.mark.parametrize("n", [1, 3, 9, 15])
def test_a_legend_lies_within_its_figure_and_is_no_higher_than_it_must_be(n):
    names = [
        *("local", "fedavg", "fedavg-equal", "ensemble", "ensemble-probabilities", "feddf", "dense")
    ]
    names += [
        *("dense-average", "coboosting", "fedcvae", "federatedfactory", "mosaic", "mosaic-source")
    ]
    names += [*("mosaic-cvae", "centralised")]
    with matplotlib.rc_context(style.LOOK):
        figure, _ = style.new_panels(["a", "b", "c"], (3.25, 3.2), "x", "y")
        style.finish(figure, "title", [Line2D([], [], label=name) for name in names[:n]])
        figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
    assert box.height < (20 if n <= 3 else 60)  # pixels of 1/100 inch: a row takes about 14


def test_label_distribution_and_images(tmp_path):
    counts = {"omega 0.1": np.array([[5, 0, 200], [0, 1, 3000]]), "omega 1": np.full((3, 3), 7)}
    assert [path.name for path in label_distribution(counts, tmp_path)] == [
        *("label_distribution.png", "label_distribution.svg")
    ]
    grey, colour = np.zeros((2, 3, 8, 8, 1), np.uint8), np.zeros((2, 4, 8, 8, 3), np.uint8)
    paths = generated_images(
        [("real", grey), ("generated", colour), ("none", [])], tmp_path, "images", ["a", "b"]
    )
    assert [path.name for path in paths] == ["images.png", "images.svg"]


def test_heat_maps_take_the_values_of_a_grid_from_the_settings_of_its_cells(tmp_path):
    rows = []
    for k, norm in [(2, "batch"), (10, "batch"), (2, "none"), (10, "none")]:
        names = {"label": f"mosaic k={k} norm={norm}", "cell": f"{k}{norm}", "status": "done"}
        names |= {"grid": "mosaic", "grid_settings": "k norm"}
        names |= {"dataset": "digits", "omega": 0.1, "n_clients": 4, "widths": "full", "seed": 0}
        settings = {"config.k": k, "config.norm": norm}
        rows.append(names | settings | {"selection": "last", "accuracy": 0.5 + k / 100})
    records = pd.DataFrame(rows)
    first = heatmaps.write_heatmaps(records, tmp_path)
    assert [path.name for path in first] == [
        "heatmap_mosaic_digits_omega0.1_4_full.png",
        "heatmap_mosaic_digits_omega0.1_4_full.svg",
    ]
    grid = heatmaps._grid(records, ["k", "norm"])
    assert grid.values == {"k": [2.0, 10.0], "norm": ["batch", "none"]}
    assert grid.means[(10.0, "none")] == pytest.approx(60.0)


def test_methods_are_joined_whose_mean_ranks_cannot_be_told_apart():
    """At a critical difference of 1: 1.0 with 1.5, 1.5 with 2.4, and 4.0 with none."""
    assert cliques([1.0, 1.5, 2.4, 4.0], 1.0) == [(1.0, 1.5), (1.5, 2.4)]
    assert cliques([1.0, 1.5, 1.9], 1.0) == [(1.0, 1.9)]
    assert cliques([1.0, 3.0], 1.0) == []
