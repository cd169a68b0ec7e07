"""What a user asks a run of a suite for."""

from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from benchmarks.planning.scales import BUDGETS
from benchmarks.planning.settings import Settings


@dataclass(frozen=True)
class Request:
    """What a user asks for. None leaves a thing to the suite, the scale or the machine.

    Attributes:
        suite: a suite's name or the path of its TOML file.
        scale: quick, laptop or paper.
        methods: names, labels of the suite, paths of ``.py`` files, or modules.
        datasets: names, image folders or ``.npz`` files.
        omega: Dirichlet concentrations in [1e-4, inf].
        clients: numbers of clients.
        widths: the clients' widths, e.g. "full", "mixed", "rho=5".
        seeds: reporting seeds, 0 to 999.
        budget: "equal": all methods compute equally much; or "paper": all train on the same share
            of their own paper's images.
        settings: values by setting, by method or label, and by "task".
        partition: a file with a split of the data.
        metrics: paths of ``.py`` files.
        out: the folder of all suites' records, tables and the cache.
        jobs: processes.
        threads: CPU threads per process.
        device: auto, cpu or cuda.
        precision: auto, fp32 or bf16.
        data_dir: the only folder where data sets are looked for.
        inception_weights: "auto", "download" or a file.
        ray: auto, local or the address of a Ray cluster.
        gpu_share: GPU fraction per cell on Ray.
        force: run finished cells again.
        live: write report.html also while cells run.
        style: the venue of a paper for which the figures are written as PDF too: neurips, icml or
            ieee; "" for none.
        track: "mlflow", "tensorboard" or "wandb", with ":" and a place if it is not the default.
    """

    suite: str = "heterogeneity"
    scale: str = "quick"
    methods: list[str] | list[str | ModuleType] | None = None
    datasets: list[str] | None = None
    omega: list[float] | None = None
    clients: list[int] | None = None
    widths: list[str] | None = None
    seeds: list[int] | None = None
    budget: str = BUDGETS[0]
    settings: Settings = field(default_factory=dict)
    partition: Path | None = None
    metrics: list[str] = field(default_factory=list)
    out: Path = Path("results")
    jobs: int | None = None
    threads: int = 1
    device: str = "auto"
    precision: str = "auto"
    data_dir: Path | None = None
    inception_weights: str = "auto"
    ray: str | None = None
    gpu_share: float = 1.0
    force: bool = False
    live: bool = False
    style: str = ""
    track: str | None = None
