"""The pages of the repository: links lead somewhere, snippets are valid, results are small."""

import re
import tomllib
from pathlib import Path

import pytest

from mosaic import fl

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path for pattern in ("*.md", "docs/*.md", "results/**/README.md") for path in ROOT.glob(pattern)
)


def names(paths):
    return [path.relative_to(ROOT).as_posix() for path in paths]


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_lead_to_files_that_exist(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(linked.read_text()), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_snippets_are_valid(page):
    for language, code in re.findall(r"```(python|toml)\n(.*?)```", page.read_text(), re.DOTALL):
        if language == "python":
            compile(code, str(page), "exec")
        else:
            tomllib.loads(code)


def test_the_table_of_fairness_names_entries_and_tests_that_exist():
    page = (ROOT / "docs" / "fairness.md").read_text()
    rows = [line.split("|") for line in page.splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(rows) == 20
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    for row in rows:
        for name in re.findall(r"test_\w+\.py", row[5]):
            assert name in tests, name
        for suite, label in re.findall(r"`(\w+)`: `([\w-]+)`", row[6]):
            content = tomllib.loads((ROOT / f"benchmarks/suites/{suite}.toml").read_text())
            labels = [entry.get("label") for entry in content["method"]]
            assert label in labels, label


def test_the_api_page_names_what_fl_does_not_have():
    page = (ROOT / "docs" / "api.md").read_text()
    names = set(
        re.findall(r"^::: mosaic\.fl\.\S+\.([A-Za-z_]+)$(?!\n    options)", page, re.MULTILINE)
    )
    for members in re.findall(
        r"^::: mosaic\.fl\.\S+\n    options:\n      members: \[(.*)\]", page, re.MULTILINE
    ):
        names |= set(members.split(", "))
    assert len(names) > 30
    missing = names - set(fl.__all__)
    assert missing == {"Model", "register_model", "load_model_file"}
    assert all(f"`{name}`" in page.split("##")[0] for name in missing)


def test_results_are_small():
    """Figures and archives are what grows; a clone has to carry all of them."""
    reference = [ROOT / "results" / name for name in ("quick", "laptop", "speed", "tuning")]
    kinds = (".png", ".md", ".tex", ".gz", ".txt", ".toml", ".log", ".csv")
    ignored = {"cells", "partitions", "pictures", "cache"}
    size = 0
    for folder in reference:
        for path in folder.rglob("*"):
            is_committed = path.suffix in kinds and not ignored & set(path.parts)
            if is_committed:
                size += path.stat().st_size
    assert size < 15e6
