"""What methods cost: bytes by kind, and FLOPs, measured and forecast."""

import pytest
from contract_runs import config_of, learnable, run, total

from benchmarks.planning.expand import expand_cells
from benchmarks.planning.forecast import total_flops
from benchmarks.planning.method_flops import PARTS
from benchmarks.planning.suite import read_suite
from mosaic.fl import costs
from mosaic.fl.cache import use_cache
from mosaic.fl.channel import n_bytes
from mosaic.fl.data.federation import open_federation
from mosaic.fl.models.live_network import initial_model


def test_bytes_by_method(task, store):
    """T rounds of N clients' models each way; and what a method sends beyond that."""
    federation = open_federation(task)
    rounds = task.rounds * task.n_clients * n_bytes(initial_model(task.spec, 0))
    one = n_bytes(initial_model(task.spec, 0))
    assert total("local", task).upload == total("local", task).download == {}
    for method in ("fedavg", "fedrolex", "dense"):
        assert total(method, task).upload == total(method, task).download == {"model": rounds}
    pooled = sum(federation.sizes) * (8 * 8 + 8)  # uint8 images of 64 pixels, int64 labels
    assert total("centralised", task).upload == {"data": pooled}
    cost = total("mosaic", task)
    assert cost.upload.keys() == {"model", "generator", "prototypes", "counts"}
    assert cost.upload["model"] == rounds and cost.upload["counts"] == task.n_clients * 10 * 8
    assert cost.download == {
        "model": rounds + task.n_clients * one
    }  # the server model, to state prototypes


@pytest.mark.slow
def test_flops_do_not_depend_on_which_cell_ran_before(store, monkeypatch):
    """The meter knows a piece of work by its name: a name must say all that its FLOPs depend on."""
    small, large = (learnable(rounds=1, score_every=1, steps=2, n_clients=n) for n in (2, 5))
    for method in ("dense", "mosaic"):
        flops = []
        for before in ((), (small,)):
            monkeypatch.setattr(costs, "_flops", {})
            for task in before:
                run(method, task)
            use_cache(store / f"{method}{len(before)}")
            flops.append(total(method, large).flops)
        assert flops[0] == flops[1], method


@pytest.mark.parametrize("method", ["fedftg", "dfrd", "dfdg", "feddf", "dense", "coboosting"])
def test_the_servers_work_is_forecast_to_a_hundredth(method, store):
    """Alone, with two clients: beside local training, or many teachers, a missing pass is small."""
    task = learnable(rounds=1, score_every=1, steps=2, n_clients=2)
    parts = list(PARTS[method](task, config_of(method)))
    server = sum(part.flops for part in parts if part.side == "server")
    local = sum(part.flops for part in parts if part.side == "local")
    assert server == pytest.approx(total(method, task).flops - local, rel=0.01)


def test_what_cells_share_is_forecast_once():
    cells = expand_cells(
        *read_suite("heterogeneity"), "quick", seeds=[0], omega=[1.0], widths=["full"]
    )
    by_label = {cell.label: cell for cell in cells}
    together = total_flops([by_label["mosaic"], by_label["mosaic-source"]])
    parts = PARTS["mosaic"](by_label["mosaic"].task, by_label["mosaic"].config)
    shared = sum(part.flops for part in parts if part.name)
    assert (
        together
        == total_flops([by_label["mosaic"]]) + total_flops([by_label["mosaic-source"]]) - shared
    )
    assert shared > 0.5 * total_flops([by_label["mosaic"]])
