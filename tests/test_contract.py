"""The contract over all METHODS: each learns, is finite, is repeatable, and costs what it says."""

import dataclasses

import pytest
import torch
from contract_runs import config_of, images, learnable, logits_of, run

from benchmarks.planning.method_flops import PARTS
from benchmarks.planning.methods import METHODS, facts_of
from mosaic.fl import costs
from mosaic.fl.cache import use_cache
from mosaic.fl.contract import Skip
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.loading import load
from mosaic.fl.data.transforms import normalise
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.stages import federated_model
from mosaic.fl.training.prediction import predictor


@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    """Each method once on the learnable task: its snapshots and its account, from a store that was
    empty.
    """
    use_cache(tmp_path_factory.mktemp("first"))
    found = {}
    for method in METHODS:
        torch.manual_seed(3)
        with opened(Account()) as account:
            found[method] = run(method, learnable()), account
    yield found
    use_cache(None)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_learns_better_than_chance_and_has_finite_logits(method, first_run):
    logits = logits_of(first_run[method][0][-1])
    labels = load("digits", "test").labels
    assert (
        logits.shape[1:] == (len(labels), 10)
        and logits.isfinite().all()
        and logits.dtype == torch.float32
    )
    accuracy = (logits.argmax(2) == labels).float().mean().item()
    assert accuracy > 0.3, accuracy  # chance is 0.1


@pytest.mark.parametrize("method", METHODS)
def test_snapshots_are_of_scored_rounds_in_order_and_the_last_is_of_the_last(method, first_run):
    task, snapshots = learnable(), first_run[method][0]
    rounds = [snapshot.round for snapshot in snapshots]
    assert (
        rounds == sorted(set(rounds))
        and rounds[-1] == task.rounds
        and all(map(task.scored, rounds))
    )
    for snapshot in snapshots:
        assert all(isinstance(value, (int, float)) for value in snapshot.diagnostics.values())
        assert all(probe(images()[:5]).shape == (5, 10) for probe in snapshot.probes.values())


@pytest.mark.parametrize("method", METHODS)
def test_the_same_cell_twice_gives_the_same_bits_and_the_same_bill(
    method, first_run, tmp_path, monkeypatch
):
    """From an empty store, from a full one, in another order of cells, and whatever the global
    random state is.
    """
    snapshots, account = first_run[method]
    monkeypatch.setattr(costs, "_flops", {})
    use_cache(tmp_path)
    try:
        for _ in ("miss", "hit"):
            torch.manual_seed(4)
            with opened(Account()) as again:
                repeated = run(method, learnable())
            for a, b in zip(snapshots, repeated, strict=True):
                assert torch.equal(logits_of(a), logits_of(b)) and a.diagnostics == b.diagnostics
            bills = [
                (of.total().upload, of.total().download, of.total().flops)
                for of in (account, again)
            ]
            assert bills[0] == bills[1]
    finally:
        use_cache(None)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_leaves_the_global_random_state(method, first_run, task, store):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    for snapshot in METHODS[method].run(task, config_of(method)):
        logits_of(snapshot)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("method", METHODS)
def test_a_snapshots_models_do_not_change_when_the_method_goes_on(method, store):
    task = learnable(rounds=2, score_every=1, steps=2)
    seen = [
        (snapshot, logits_of(snapshot)) for snapshot in METHODS[method].run(task, config_of(method))
    ]
    assert all(torch.equal(logits_of(snapshot), logits) for snapshot, logits in seen)


@pytest.mark.parametrize("method", ["dense", "mosaic"])
def test_a_methods_images_have_the_datas_shape_and_range_and_the_client_that_drew_them(
    method, first_run
):
    synthesise = first_run[method][0][-1].synthesise
    (drawn, by), (again, _) = (synthesise(50, torch.Generator().manual_seed(0)) for _ in range(2))
    assert drawn.shape == (50, 1, 8, 8) and by.shape == (50,) and torch.equal(drawn, again)
    assert drawn.min() >= -1 and drawn.max() <= 1
    assert set(by.tolist()) <= ({-1} if method == "dense" else {0, 1, 2})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "changes", [{"widths": (1.0, 0.5, 0.25)}, {"batch_norm": "batch"}, {"model": "resnet18"}]
)
def test_a_method_runs_at_mixed_widths_on_batch_statistics_and_on_the_other_model(
    method, changes, store
):
    task = learnable(rounds=1, score_every=1, steps=2, base_width=4, n_train=200, **changes)
    try:
        assert logits_of(run(method, task)[-1]).isfinite().all()
    except Skip as reason:  # of all these, only mixed widths may be too much for an algorithm
        assert task.widths and str(reason)


@pytest.mark.parametrize("method", [m for m in METHODS if facts_of(m)["student"]])
def test_a_student_starts_from_what_its_method_declares(method, task, store):
    """What a method says the student was before is FedAvg's average of that round, or the common
    random model.
    """
    task = dataclasses.replace(task, rounds=1)
    config = config_of(method)
    snapshot = list(METHODS[method].run(task, config))[-1]
    start = {"average": federated_model(task, 1), "random": initial_model(task.spec, task.seed)}[
        facts_of(method, config)["student"]
    ]
    images = normalise(load("digits", "test").images[:20])
    if "before" in snapshot.probes:
        assert snapshot.probes["before"](images).equal(predictor(start, task)(images))
    else:
        assert facts_of(method, config)["student"] == "random"


@pytest.mark.parametrize("method", METHODS)
def test_the_forecast_of_a_methods_flops_is_what_was_measured(method, first_run):
    forecast = sum(part.flops for part in PARTS[method](learnable(), config_of(method)))
    measured = first_run[method][1].total().flops
    # a class's images cannot fill its module's batches here; FedGen's generator is no small part of
    # so small networks
    least, most = {"federatedfactory": (1.0, 1.5), "fedgen": (0.7, 1.0)}.get(method, (0.9, 1.06))
    assert least * measured <= forecast <= most * measured
