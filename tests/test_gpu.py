"""On a machine with a GPU, python -m pytest -m gpu: all methods run there, on the partitions of the CPU."""

import pandas as pd
import pytest
import torch

from benchmarks.cells import METHODS
from benchmarks.run import main
from mosaic.fl.device import use_device
from mosaic.fl.federation import open_federation
from mosaic.fl.models import initial
from mosaic.fl.store import use_store
from mosaic.fl.task import Task
from mosaic.fl.training import spec_of

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device")]
TASK = Task(n_train=240, n_clients=3, omega=1.0, base_width=4)


@pytest.fixture(autouse=True)
def cpu_again():
    yield
    use_device("cpu")
    use_store(None)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_method_runs_on_it(precision, tmp_path):
    few = ["task.rounds=2", "task.steps=3", "task.score_every=1", "mosaic.generator_steps=4", "mosaic.distil_steps=2"]
    few += ["dense.epochs=1", "dense.synthesis_steps=2", "coboosting.epochs=1", "coboosting.synthesis_steps=2"]
    settings = [f"--set={text}" for text in few]
    where = ["--device", "cuda", "--precision", precision, "--out", str(tmp_path)]
    assert main([*settings, *where, "--omega", "0.1", "--seeds", "1", "--clients", "3"]) == 0
    rows = pd.read_csv(tmp_path / "heterogeneity" / "records.csv")
    assert set(rows[rows["status"] == "done"]["method"]) >= set(METHODS) and rows["device"].ne("cpu").all()


def test_partitions_and_first_weights_are_those_of_the_cpu():
    found = {}
    for name in ("cpu", "cuda"):
        use_device(name)
        federation = open_federation(TASK)
        found[name] = [shard.indices.cpu() for shard in federation.shards], initial(spec_of(TASK), 0)
    assert all(map(torch.equal, found["cpu"][0], found["cuda"][0]))
    assert all(torch.equal(tensor, found["cuda"][1][name].cpu()) for name, tensor in found["cpu"][1].items())
