"""Proof that a rewrite changes no result: keys of all suites and scales, tables of results/quick.

    python scripts/proof.py             # per suite and scale: number of cells, hash of their keys
    python scripts/proof.py --tables    # a copy of results/quick is complete; its tables' hashes

Keys are hashed sorted: the order in which cells run may change, what they are may not.
"""

import contextlib
import hashlib
import io
import re
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))

SUITES = [
    "heterogeneity",
    "model_heterogeneity",
    "scalability",
    "communication",
    "oneshot",
    "lambda_sweep",
]


def run(*options: str) -> str:
    from benchmarks import cli, run

    out = io.StringIO()
    cli.console.file = out
    with contextlib.redirect_stdout(out):
        code = run.main(["--precision", "fp32", *options])
    assert code == 0, (code, out.getvalue())
    return out.getvalue()


def keys() -> None:
    for suite in SUITES:
        for scale in ("quick", "laptop", "paper"):
            nowhere = tempfile.mkdtemp()
            text = run("--suite", suite, "--scale", scale, "--dry-run", "--out", nowhere)
            found = sorted(re.findall(r"[0-9a-f]{16}", text))
            digest = hashlib.sha256("\n".join(found).encode()).hexdigest()[:16]
            print(suite, scale, len(found), digest, flush=True)


def tables() -> None:
    folder = Path(tempfile.mkdtemp()) / "quick"
    shutil.copytree("results/quick", folder)
    plan = run("--suite", "heterogeneity", "--dry-run", "--out", str(folder))
    print(plan.splitlines()[-1])
    run("--suite", "heterogeneity", "--out", str(folder))
    for name in ("table.md", "table.tex", "summary.csv"):
        data = (folder / "heterogeneity" / name).read_bytes()
        print(name, hashlib.sha256(data).hexdigest()[:16])


if __name__ == "__main__":
    tables() if "--tables" in sys.argv else keys()
