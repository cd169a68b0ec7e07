"""The contract over all METHODS: each learns, is finite, is repeatable, and is written by the house's rules."""

import ast
import dataclasses
from pathlib import Path

import pytest
import torch

from baselines import (
    centralised,
    coboosting,
    dense,
    dfrd,
    fedavg,
    fedcvae,
    feddf,
    federatedfactory,
    fedftg,
    fedgen,
    fedrolex,
    local,
)
from benchmarks.planning.axes import widths_of
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.forecast import total_flops
from benchmarks.planning.method_flops import PARTS
from benchmarks.planning.methods import METHODS, facts_of
from benchmarks.planning.scales import SCALES
from benchmarks.planning.suite import read_suite
from mosaic import method as mosaic
from mosaic.fl import costs, independent, rounds
from mosaic.fl.aggregation import average, average_parts
from mosaic.fl.cache import computed_stages, use_cache
from mosaic.fl.channel import n_bytes
from mosaic.fl.contract import Skip, Snapshot
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import load
from mosaic.fl.data.transforms import normalise
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.models.registry import scaled_channels
from mosaic.fl.rounds import participants
from mosaic.fl.stages import federated_model, final_client_model, final_client_models
from mosaic.fl.submodel import cut, window
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import train

ROOT = Path(__file__).parent.parent

SMALL_CVAE = dict(
    cvae_latent=4,
    cvae_hidden=32,
    cvae_steps=120,
    cvae_lr=1e-2,
    images=400,
    classifier_steps=50,
    classifier_lr=1e-2,
)

# A few steps of everything; methods without settings are as they are
SMALL = {
    "coboosting": coboosting.Config(epochs=2, synthesis_steps=2, batch=32, latent=8),
    "dfrd": dfrd.Config(turns=2, generator_steps=2, batch=16, latent=8, ngf=4),
    "dense": dense.Config(epochs=2, synthesis_steps=2, batch=32, latent=8),
    "feddf": feddf.Config(steps=3, batch=16),
    "fedcvae": fedcvae.Config(**SMALL_CVAE, kd_steps=8),
    "federatedfactory": federatedfactory.Config(**SMALL_CVAE),
    "fedftg": fedftg.Config(turns=2, batch=16, latent=8, ngf=4),
    "fedgen": fedgen.Config(generator_steps=4, batch=16),
    "mosaic": mosaic.Config(
        latent=8, ngf=4, generator_steps=4, generator_batch=16, k=3, distil_steps=4, distil_batch=32
    ),
}


def config_of(method: str):
    return SMALL.get(method) or METHODS[method].Config()


def learnable(**changes) -> Task:
    """Alike clients and enough rounds for a tiny network to learn the digits."""
    facts = dict(
        omega=100.0,
        n_clients=3,
        rounds=4,
        score_every=2,
        steps=15,
        base_width=8,
        batch_size=32,
        lr=0.1,
    )
    return Task(**facts | changes)


def images() -> torch.Tensor:
    return normalise(load("digits", "test").images)


def run(method: str, task: Task) -> list[Snapshot]:
    return list(METHODS[method].run(task, config_of(method)))


def logits_of(snapshot: Snapshot) -> torch.Tensor:
    """Logits (M, B, K) of the snapshot's M models."""
    models = [snapshot.predict] if callable(snapshot.predict) else snapshot.predict
    return torch.stack([predict(images()) for predict in models])


@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    """Each method once on the learnable task: its snapshots and its account, from a store that was empty."""
    use_cache(tmp_path_factory.mktemp("first"))
    found = {}
    for method in METHODS:
        torch.manual_seed(3)
        with opened(Account()) as account:
            found[method] = run(method, learnable()), account
    yield found
    use_cache(None)


# What a method does


@pytest.mark.parametrize("method", METHODS)
def test_a_method_learns_better_than_chance_and_says_finite_logits(method, first_run):
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
    """From an empty store, from a full one, in another order of cells, and whatever the global random state is."""
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
def test_a_methods_images_have_the_datas_shape_and_range_and_an_author(method, first_run):
    synthesise = first_run[method][0][-1].synthesise
    (drawn, by), (again, _) = (synthesise(50, torch.Generator().manual_seed(0)) for _ in range(2))
    assert drawn.shape == (50, 1, 8, 8) and by.shape == (50,) and torch.equal(drawn, again)
    assert -1 <= drawn.min() and drawn.max() <= 1
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


@pytest.mark.parametrize("teacher", ["experts", "source"])
@pytest.mark.parametrize("sampling", ["uniform", "size"])
def test_mosaics_variants_run(teacher, sampling, task, store):
    config = dataclasses.replace(
        SMALL["mosaic"],
        teacher=teacher,
        sampling=sampling,
        weight_jsd=0.5,
        finetune_rounds=2,
        finetune_lr=0.01,
    )
    snapshots = list(mosaic.run(task, config))
    assert [snapshot.round for snapshot in snapshots] == [2, 3, 4]
    assert all(logits_of(snapshot).isfinite().all() for snapshot in snapshots)
    assert not torch.equal(logits_of(snapshots[0]), logits_of(snapshots[2]))


def test_dense_from_a_random_student_runs(task, store):
    snapshot = list(dense.run(task, dataclasses.replace(SMALL["dense"], student="random")))[-1]
    assert logits_of(snapshot).isfinite().all()


@pytest.mark.parametrize("method", [m for m in METHODS if facts_of(m)["student"]])
def test_a_student_starts_from_what_its_method_declares(method, task, store):
    """What a method says the student was before is FedAvg's average of that round, or the common random model."""
    task = dataclasses.replace(task, rounds=1)
    config = SMALL[method]
    snapshot = list(METHODS[method].run(task, config))[-1]
    start = {"average": federated_model(task, 1), "random": initial_model(task.spec, task.seed)}[
        facts_of(method, config)["student"]
    ]
    images = normalise(load("digits", "test").images[:20])
    if "before" in snapshot.probes:
        assert snapshot.probes["before"](images).equal(predictor(start, task)(images))
    else:
        assert facts_of(method, config)["student"] == "random"


# What it costs


def total(method: str, task: Task) -> costs.Cost:
    with opened(Account()) as account:
        run(method, task)
    return account.total()


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


@pytest.mark.parametrize("method", METHODS)
def test_the_forecast_of_a_methods_flops_is_what_was_measured(method, first_run):
    forecast = sum(flops for _, flops in PARTS[method](learnable(), config_of(method)))
    measured = first_run[method][1].total().flops
    # a class's images cannot fill its module's batches here; FedGen's generator is no small part of so small networks
    least, most = {"federatedfactory": (1.0, 1.5), "fedgen": (0.7, 1.0)}.get(method, (0.9, 1.06))
    assert least * measured <= forecast <= most * measured


def test_what_cells_share_is_forecast_once():
    cells = expand_cells(
        *read_suite("heterogeneity"), "quick", seeds=[0], omega=[1.0], widths=["full"]
    )
    by_label = {cell.label: cell for cell in cells}
    together = total_flops([by_label["mosaic"], by_label["mosaic-source"]])
    generators = dict(PARTS["mosaic"](by_label["mosaic"].task, by_label["mosaic"].config))
    shared = sum(flops for key, flops in generators.items() if key)
    assert (
        together
        == total_flops([by_label["mosaic"]]) + total_flops([by_label["mosaic-source"]]) - shared
    )
    assert shared > 0.5 * total_flops([by_label["mosaic"]])


# Laws between methods


def test_fedrolex_at_width_one_is_fedavg(task, store):
    task = dataclasses.replace(task, widths=(1.0, 1.0, 1.0))
    of_fedrolex, of_fedavg = (
        list(fedrolex.run(task, fedrolex.Config())),
        list(fedavg.run(task, fedavg.Config())),
    )
    for a, b in zip(of_fedrolex, of_fedavg, strict=True):
        assert torch.equal(logits_of(a), logits_of(b))


def test_fedavg_is_the_plain_loop(task, store):
    """McMahan et al., Algorithm 1, written out: the stages' bookkeeping changes no bit of it."""
    task = dataclasses.replace(task, rounds=5, score_every=2)
    federation, server = open_federation(task), initial_model(task.spec, task.seed)
    for t in range(1, 6):
        clients = [train(server, shard, task, round=t) for shard in federation.shards]
        server = average(clients, federation.sizes)
    found = federated_model(task, 5)
    assert all(torch.equal(found[name], server[name]) for name in server)
    assert all(
        torch.equal(a[name], b[name])
        for a, b in zip(final_client_models(task), clients, strict=True)
        for name in server
    )


def test_fedrolex_is_the_plain_loop(task, store):
    """Alam et al., Algorithm 1, written out: in round t the window starts at channel t."""
    task = dataclasses.replace(task, rounds=3, widths=(1.0, 0.5, 0.25))
    federation, server, parts = (
        open_federation(task),
        initial_model(task.spec, task.seed),
        task.layout,
    )
    for t in range(1, 4):
        clients = []
        for shard, width in zip(federation.shards, task.widths, strict=True):
            held = window(task.spec_at(width), shift=t)
            part = train(cut(server, parts, held), shard, task, round=t, width=width)
            clients.append((part, held))
        server = average_parts(server, clients, federation.sizes, parts)
    found = federated_model(task, 3)
    assert all(torch.equal(found[name], server[name]) for name in server)


def test_fedavg_with_equal_weights_is_the_plain_mean_round_by_round(task, store):
    server = federated_model(task, 0)
    for t in range(1, task.rounds + 1):
        server = average(list(rounds.client_updates(task, server, t)), [1] * task.n_clients)
    snapshot = list(fedavg.run(task, fedavg.Config(weights="equal")))[-1]
    assert torch.equal(logits_of(snapshot)[0], predictor(server, task)(images()))
    assert not torch.equal(
        logits_of(snapshot), logits_of(list(fedavg.run(task, fedavg.Config()))[-1])
    )


def test_fedavgs_last_average_is_over_the_local_models(task, store):
    mean, server = (
        average(final_client_models(task), open_federation(task).sizes),
        federated_model(task, task.rounds),
    )
    assert all(torch.equal(mean[name], server[name]) for name in server)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("model", ["cnn", "resnet18"])
def test_fedavg_at_mixed_widths_is_the_narrowest_clients_model(scale, model):
    """At every base width that a scale has, for both laws of widths: 1/4, and 1/16 of DFRD's rho = 5, sigma = 4."""
    base = SCALES[scale].task["base_width"]
    for widths in (widths_of("mixed", 10), widths_of("rho=5,sigma=4", 10)):
        task = Task(n_clients=10, widths=widths, base_width=base, model=model)
        of_all, of_narrowest = fedavg.at_smallest_width(task).spec, task.spec_at(min(widths))
        assert [scaled_channels(of_all, f"c{i}") for i in (1, 2, 3, 4)] == [
            scaled_channels(of_narrowest, f"c{i}") for i in (1, 2, 3, 4)
        ]


def test_local_shares_nothing_but_the_start(task, store):
    """A client's lone model is what it was, whoever else there is; its first round is FedAvg's first local training."""
    task = dataclasses.replace(task, rounds=1)
    alone = list(local.run(task, local.Config()))[-1]
    clients = [
        train(federated_model(task, 0), s, task, round=1) for s in open_federation(task).shards
    ]
    assert len(alone.predict) == 3
    for said, client in zip(logits_of(alone), clients, strict=True):
        assert torch.equal(said, predictor(client, task)(images()))


def test_clients_that_train_once_train_once_for_all_methods(task, store, monkeypatch):
    """One round: FedAvg, the ensemble, FedDF and the floor are over the same models, trained a single time."""
    trained = []

    def counted(state, shard, *names, **options):
        trained.append(shard.client)
        return train(state, shard, *names, **options)

    monkeypatch.setattr(rounds, "train", counted)
    monkeypatch.setattr(independent, "train", counted)
    task = dataclasses.replace(task, rounds=1, score_every=1)
    for method in ("local", "feddf", "ensemble", "fedavg"):
        run(method, task)
    assert sorted(trained) == [0, 1, 2]
    narrow = dataclasses.replace(
        task, widths=(1.0, 0.5, 0.5)
    )  # in the round their windows move on by one channel
    for method in ("local", "ensemble"):
        run(method, narrow)
    assert sorted(trained[3:]) == [0, 1, 1, 2, 2]


def test_an_only_round_from_other_weights_is_trained_from_them(task, store):
    task = dataclasses.replace(task, rounds=1, score_every=1)
    server, shard = initial_model(task.spec, seed=7), open_federation(task).shards[0]
    expected = train(server, shard, task, round=1)
    assert all(
        torch.equal(v, expected[k]) for k, v in rounds.client_update(task, server, 1, shard).items()
    )


@pytest.mark.parametrize("local_work", [{}, {"epochs": 2, "rounds": 1}])
def test_the_ceiling_is_the_same_for_all_partitions(task, store, local_work):
    """The same pool and the same number of steps, however it is split: also where each client's last batch is short."""
    task = dataclasses.replace(task, **local_work)
    runs = [
        list(
            centralised.run(
                dataclasses.replace(task, omega=omega, widths=widths), centralised.Config()
            )
        )
        for omega, widths in ((0.1, ()), (100.0, ()), (1.0, (1.0, 0.5, 0.25)))
    ]
    assert all(torch.equal(logits_of(a[-1]), logits_of(runs[0][-1])) for a in runs)


# How it is written


def imports(path: Path) -> set[str]:
    """The modules that a file imports, with ``from a import b`` as a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def ours(path: Path) -> set[str]:
    return {
        name
        for name in imports(path)
        if name.split(".")[0] in ("mosaic", "baselines", "benchmarks", "tests")
    }


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).glob("**/*.py" if folder == "mosaic/fl" else "*.py"))


@pytest.mark.parametrize("path", files("mosaic/fl") + files("baselines"), ids=name_of)
def test_the_substrate_and_the_baselines_import_the_substrate_only(path):
    allowed = ("mosaic.fl.",) + (("baselines.",) if path.stem == "__init__" else ())
    assert all(name.startswith(allowed) for name in ours(path)), ours(path)


@pytest.mark.parametrize("path", files("mosaic"), ids=name_of)
def test_mosaic_imports_itself_and_the_substrate_only(path):
    assert all(name.startswith("mosaic.") for name in ours(path)), ours(path)


METHOD_FILES = files("baselines") + files("mosaic")


@pytest.mark.parametrize("path", METHOD_FILES, ids=name_of)
def test_a_method_file_is_under_300_lines_and_run_under_60(path):
    source = path.read_text()
    assert len(source.splitlines()) < 300
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == "run":
            assert node.end_lineno - node.lineno + 1 < 60


@pytest.mark.parametrize("path", METHOD_FILES, ids=name_of)
def test_a_method_file_prints_nothing_opens_nothing_and_never_names_a_device_or_the_test_data(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "open", "load"), ast.unparse(node)
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("cuda", "argparse"), ast.unparse(node)
    assert not {name.split(".")[0] for name in imports(path)} & {"argparse", "logging"}
    assert "mosaic.fl.data.loading.load" not in imports(path)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_a_frozen_config_a_space_of_its_fields_and_a_docstring(name):
    method = METHODS[name]
    config = method.Config()
    assert (
        method.__doc__ and dataclasses.is_dataclass(config) and config.__dataclass_params__.frozen
    )
    fields = {f.name: f for f in dataclasses.fields(config)}
    for field, (low, high) in method.SPACE.items():
        assert field in fields, field
        assert low <= getattr(config, field) <= high, f"the default of {field} is outside its range"


@pytest.mark.parametrize("protocol", ["rounds", "oneshot"])
@pytest.mark.parametrize("generator", ["dcgan", "cvae"])
def test_mosaic_asks_of_the_store_what_it_said(protocol, generator, task, store):
    config = dataclasses.replace(
        config_of("mosaic"), protocol=protocol, generator=generator, cvae_steps=20
    )
    asked_of_the_store(METHODS["mosaic"], task, config)


def test_a_round_of_some_clients_is_the_same_for_all_methods_and_the_average_is_theirs(task, store):
    few = dataclasses.replace(task, n_clients=5, participation=0.4, rounds=2)
    drawn = [[shard.client for shard in participants(few, t)] for t in range(20)]
    assert (
        drawn[0] == list(range(5))
        and all(len(who) == 2 for who in drawn[1:])
        and len(set(map(tuple, drawn))) > 4
    )
    server, shards = federated_model(few, 1), participants(few, 2)
    mean = average([final_client_model(few, s.client) for s in shards], [s.size for s in shards])
    assert all(
        torch.allclose(mean[name], tensor, atol=1e-6)
        for name, tensor in federated_model(few, 2).items()
    )
    for method in ("fedprox", "fedrs"):  # without their terms they are FedAvg, of the same few
        config = dataclasses.replace(
            config_of(method), **{"fedprox": {"mu": 0.0}, "fedrs": {"alpha": 1.0}}[method]
        )
        *_, last = METHODS[method].run(few, config)
        torch.testing.assert_close(
            last.predict(images()), predictor(federated_model(few, 2), few)(images())
        )
    assert not torch.equal(server["linear.weight"], federated_model(few, 2)["linear.weight"])


@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_with_some_clients_a_round_or_says_that_it_cannot(method, task, store):
    few = dataclasses.replace(task, participation=0.4)
    try:
        with opened(Account()) as account:
            *_, last = METHODS[method].run(few, config_of(method))
    except Skip as reason:
        assert "participation" in str(reason)
    else:
        assert last.round == task.rounds
        if method in ("fedavg", "fedprox", "fedrs", "fedbn", "scaffold", "heterofl", "fedrolex"):
            assert (
                account.total().steps["train"] == task.rounds * task.steps
            )  # one client of three a round


@pytest.mark.parametrize("protocol", ["rounds", "oneshot"])
def test_mosaic_knows_networks_whose_features_are_pixels(protocol, task, store):
    config = dataclasses.replace(config_of("mosaic"), protocol=protocol)
    *_, last = mosaic.run(dataclasses.replace(task, model="cnn2"), config)
    assert last.predict(images()).isfinite().all()


@pytest.mark.parametrize(
    "name", [name for name, method in METHODS.items() if hasattr(method, "stages")]
)
def test_a_method_asks_of_the_store_what_it_said(name, task, store):
    asked_of_the_store(METHODS[name], task, config_of(name))


def asked_of_the_store(method, task, config):
    """Wave by wave each call finds there all but its own result; afterwards the method finds there all it needs."""
    for wave in method.stages(task, config):
        before = {call for call in wave if call.func.is_cached(*call.args, **call.keywords)}
        assert not before, "a stage was named twice, or an earlier wave made it"
        for call in wave:
            with computed_stages() as computed:
                call()
            own = f"{call.func.stage_name}/{call.func.key_of(*call.args, **call.keywords)}"
            others = {key for key in computed if not key.startswith(("warm_up", own))}
            assert own in computed and not others
    with computed_stages() as computed:
        list(method.run(task, config))
    assert computed <= {
        f"warm_up/{federated_model.key_of(task, 0)}"
    }  # a start of its own costs nothing


@pytest.mark.parametrize("name", METHODS)
def test_a_field_that_counts_work_is_a_whole_number_of_steps_and_a_choice_has_its_default(name):
    for field in dataclasses.fields(METHODS[name].Config):
        if "work" in field.metadata:
            assert field.metadata["work"] in ("client", "server") and isinstance(field.default, int)
        if "choices" in field.metadata:
            assert field.metadata["choices"][0] == field.default
