"""Text files as people have them: with a byte-order mark, other line ends, another encoding."""

import codecs
from pathlib import Path

import pytest

from benchmarks.metrics.metric_file import load_metric_file
from benchmarks.planning.plugins import resolve_method
from benchmarks.planning.settings import read_params
from benchmarks.planning.suite import read_suite
from mosaic.fl.errors import InputError
from mosaic.fl.models.registration import load_model_file
from mosaic.fl.text_files import read_text

EXAMPLES = Path(__file__).parents[2] / "examples"

SUITE = """
# a comment
question = "Is it?" # another
omega = [
    0.1,
    1.0,
]
clients = [2]
methods = ["fedavg", "mosaic",]
"""
PARAMS = "# a comment\n[task]\nrounds = 3 # rounds\n[mosaic]\nlambda_d = 2.0\n"
METRIC = '''"""The share of class 0."""

COLUMN = "zeros"
UNIT = ""
BETTER = ""
HEADING = "zeros"


def measure(predict, images, labels, n_classes):
    return float((predict(images).argmax(1) == 0).float().mean())
'''
METHOD = (EXAMPLES / "fedavgm.py").read_text()


def metric(path):
    return load_metric_file(path).split("-")[0]


pytestmark = pytest.mark.usefixtures("no_methods_left")

READERS = {
    "suite.toml": (SUITE, lambda path: read_suite(str(path))[1].omega),
    "best.toml": (PARAMS, read_params),
    "zeros.py": (METRIC, metric),
    "fedavgm.py": (METHOD, lambda path: resolve_method(str(path))),
}


def written_by_windows(text: str) -> bytes:
    return codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode()


@pytest.mark.parametrize("name", READERS)
def test_a_byte_order_mark_and_other_line_ends_change_nothing(name, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.metrics.metric_file.METRICS", {})
    monkeypatch.setattr("benchmarks.metrics.metric_file.LOADED", {})
    text, read = READERS[name]
    file = tmp_path / name
    file.write_bytes(text.encode())
    plain = read(file)
    file.write_bytes(written_by_windows(text))
    assert read(file) == plain


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("name", [*READERS, "model.py"])
def test_text_that_is_not_utf_8_is_refused_with_its_encoding(name, encoding, tmp_path):
    text, read = READERS.get(name, (METRIC, load_model_file))
    file = tmp_path / name
    file.write_bytes(text.encode(encoding))
    with pytest.raises(InputError, match=f"is {encoding.upper()} text; save it as UTF-8"):
        read(file)


def test_text_of_another_encoding_is_refused_with_its_line(tmp_path):
    file = tmp_path / "x.toml"
    file.write_bytes('a = 1\nb = "é"\n'.encode("latin-1"))
    with pytest.raises(InputError, match=r"x.toml is not UTF-8 text \(line 2, byte 0xe9\)"):
        read_text(file)


def test_line_ends_are_one(tmp_path):
    file = tmp_path / "x"
    file.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_text(file) == "a\nb\nc\n"
