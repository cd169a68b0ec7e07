"""python -m pytest -m gpu: on a GPU all methods run, on the same partitions as on the CPU."""

import dataclasses

import pandas as pd
import pytest
import torch
from contract_runs import SMALL

from benchmarks.metrics.domain import references
from benchmarks.planning.methods import METHODS
from benchmarks.run import main
from mosaic.fl.cache import use_cache
from mosaic.fl.contract import Skip
from mosaic.fl.costs import peak_memory, reset_peak_memory
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import load
from mosaic.fl.data.transforms import normalise
from mosaic.fl.device import device, use_device
from mosaic.fl.errors import InputError
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.rng import stream
from mosaic.fl.task import Task
from mosaic.fl.training.sgd import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device"),
]
TASK = Task(n_train=240, n_clients=3, omega=1.0, base_width=4, rounds=2, score_every=1, steps=3)


@pytest.fixture(autouse=True)
def cpu_again():
    yield
    use_device("cpu")
    use_cache(None)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_main_command_runs_every_method_on_it(precision, tmp_path, unrendered):
    few = [
        "task.rounds=2",
        "task.steps=3",
        "task.score_every=1",
        "mosaic.generator_steps=4",
        "mosaic.distil_steps=2",
    ]
    few += [
        "dense.epochs=1",
        "dense.distil_steps=2",
        "dense.synthesis_steps=2",
        "coboosting.epochs=1",
        "coboosting.distil_steps=2",
        "coboosting.synthesis_steps=2",
    ]
    settings = [f"--set={text}" for text in few]
    where = ["--device", "cuda", "--precision", precision, "--out", str(tmp_path)]
    assert main([*settings, *where, "--omega", "0.1", "--seeds", "1", "--clients", "3"]) == 0
    rows = pd.read_csv(tmp_path / "heterogeneity" / "records.csv")
    assert (
        set(rows[rows["status"] == "done"]["method"]) >= set(METHODS)
        and rows["device"].ne("cpu").all()
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_second_run_has_the_same_numbers(method):
    use_device("cuda")
    images = normalise(load("digits", "test").images.cuda())
    config = SMALL.get(method) or METHODS[method].Config()
    first, second = (list(METHODS[method].run(TASK, config))[-1].predict for _ in range(2))
    for one, other in [(first, second)] if callable(first) else zip(first, second, strict=True):
        assert torch.equal(one(images), other(images))


VARIANTS = [
    (name, field.name, value)
    for name, config in SMALL.items()
    for field in dataclasses.fields(config)
    for value in field.metadata.get("choices", ())[1:]
]


@pytest.mark.parametrize("method, field, value", VARIANTS)
def test_every_variant_of_a_method_runs_on_it_without_a_store(method, field, value):
    use_device("cuda")
    task = (
        dataclasses.replace(TASK, rounds=1) if (field, value) == ("protocol", "oneshot") else TASK
    )
    for snapshot in METHODS[method].run(task, dataclasses.replace(SMALL[method], **{field: value})):
        check_finite(snapshot)


@pytest.mark.parametrize(
    "changes", [{"widths": (1.0, 0.5, 0.25)}, {"batch_norm": "batch"}, {"model": "resnet18"}]
)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_on_it_at_mixed_widths_on_batch_statistics_and_on_the_other_model(
    method, changes
):
    use_device("cuda")
    task = dataclasses.replace(TASK, rounds=1, **changes)
    try:
        for snapshot in METHODS[method].run(task, SMALL.get(method) or METHODS[method].Config()):
            check_finite(snapshot)
    except Skip:
        assert task.widths


def check_finite(snapshot):
    images = normalise(load("digits", "test").images[:20].cuda())
    for predict in [snapshot.predict] if callable(snapshot.predict) else snapshot.predict:
        assert predict(images).isfinite().all() and predict(images).is_cuda
    for probe in snapshot.probes.values():
        assert probe(images).isfinite().all()
    if snapshot.synthesise is not None:
        assert snapshot.synthesise(4, stream(0))[0].isfinite().all()


def test_partitions_and_first_weights_are_those_of_the_cpu():
    found = {}
    for name in ("cpu", "cuda"):
        use_device(name)
        federation = open_federation(TASK)
        found[name] = (
            [shard.indices.cpu() for shard in federation.shards],
            initial_model(TASK.spec, 0),
        )
    assert all(map(torch.equal, found["cpu"][0], found["cuda"][0]))
    assert all(
        torch.equal(tensor, found["cuda"][1][name].cpu())
        for name, tensor in found["cpu"][1].items()
    )


def test_training_is_that_of_the_cpu_but_for_rounding():
    """TensorFloat-32, cuDNN's default for convolutions, would have 10 bits of mantissa."""
    trained = {}
    for name in ("cpu", "cuda"):
        use_device(name)
        trained[name] = train(
            initial_model(TASK.spec, 0), open_federation(TASK).shards[0], TASK, "test", steps=10
        )
    for name, tensor in trained["cpu"].items():
        torch.testing.assert_close(
            trained["cuda"][name].cpu(), tensor, rtol=1e-4, atol=1e-5, msg=name
        )


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are no two GPUs")
def test_of_several_gpus_the_one_that_computes_is_measured():
    """Synchronisation and peak memory are those of PyTorch's current device."""
    use_device("cuda:1")
    reset_peak_memory()
    before = peak_memory()
    block = torch.ones(16 << 20, device=device())  # 64 MiB
    assert torch.cuda.current_device() == 1 and peak_memory() >= before + (64 << 20)
    del block
    use_device("cuda")
    assert torch.cuda.current_device() == 0


def test_a_gpu_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(InputError, match="cuda:99"):
        use_device("cuda:99")


def test_images_are_scored_where_the_process_computes_now():
    """A notebook may run cells on the CPU, and then on the GPU."""
    for where in ("cpu", "cuda"):
        use_device(where)
        [(extractor, _), *_] = references(TASK, "", "auto", 20)
        assert extractor.device == where
