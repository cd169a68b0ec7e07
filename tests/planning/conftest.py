import pytest

from benchmarks.planning.suite import read_suite


@pytest.fixture
def written(tmp_path):
    """A suite of that text, read."""

    def write(text: str):
        path = tmp_path / "own.toml"
        path.write_text(text)
        return read_suite(str(path))

    return write
