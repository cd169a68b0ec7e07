"""A method of a user's own can be tuned, in this process and in others."""

from benchmarks.planning import plugins
from benchmarks.planning.methods import METHODS
from benchmarks.tuning.make_plan import plan_of
from benchmarks.tuning.options import parse

OWN = '''"""Own: FedProx under another name."""

from baselines.fedprox import NEEDS, PAPER, PROTOCOL, SPACE, Config, run
'''


def test_a_method_from_a_file_has_a_plan_and_travels_with_its_session(tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "_loaded", {})
    path = tmp_path / "own.py"
    path.write_text(OWN)
    options = ["--method", str(path), "--out", str(tmp_path), "--seeds", "2", "--trials", "1"]
    try:
        plan, _ = plan_of(parse(options))
        [plugin] = plan.session.plugins
        cells = plan.cells({"mu": 0.1})
    finally:
        METHODS.pop("own", None)

    assert plan.method == plugin.name == "own" and plan.study == "own-digits-omega0.1-quick"
    assert [cell.method_source for cell in cells] == [plugins.content_hash(OWN)] * 2
    assert {cell.config.mu for cell in cells} == {0.1}
