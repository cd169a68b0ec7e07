"""--live: when the page of a run that goes on is written again, and what is left of it."""

import pytest

from benchmarks.running.live_page import LivePages
from benchmarks.running.run_state import runs_in
from benchmarks.running.worker_processes import Ended


class Seen:
    """A process that writes pages in a stated time, and a state; what is asked of it is counted."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.n_ended = 0
        self.asked = 0
        self.answers: list = []

    def send(self, message):
        self.asked += 1
        self.answers = [self.seconds]

    def news(self, timeout):
        answers, self.answers = self.answers, []
        return [(self, answer) for answer in answers]


def test_pages_take_a_twentieth_of_the_time_at_most_and_only_come_with_news(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("benchmarks.running.live_page.time.monotonic", lambda: clock[0])

    def asked(seconds: float, every_cell: float) -> int:
        """How many pages an hour has, if each takes some seconds and a cell ends now and then."""
        seen = Seen(seconds)
        clock[0] = 0.0
        pages = LivePages(seen, seen, seen)  # pyright: ignore
        for second in range(3600):
            clock[0] = float(second)
            seen.n_ended = int(second / every_cell)
            pages.look()
        return seen.asked

    assert asked(seconds=0.1, every_cell=1) == pytest.approx(3600 / 11, abs=35)  # 10 s and a look
    assert asked(seconds=4.0, every_cell=1) == pytest.approx(3600 / 77, abs=3)  # 19 x 4 s
    assert asked(seconds=0.1, every_cell=1e9) == pytest.approx(3600 / 121, abs=3)


def test_without_its_process_a_run_goes_on_without_pages():
    seen = Seen(1.0)
    pages = LivePages(seen, seen, seen)  # pyright: ignore
    seen.answers = [Ended(1)]
    pages.look()
    seen.n_ended = 5
    pages.look()
    assert seen.asked == 0


@pytest.mark.slow
def test_the_command_leaves_no_file_of_a_run_that_has_ended(tmp_path):
    from benchmarks.run import main as run

    small = "--methods fedavg,local --omega 1 --seeds 1 --widths full --jobs 1 --live"
    steps = "--set task.rounds=1 --set task.steps=2"
    assert run([*small.split(), *steps.split(), "--out", str(tmp_path)]) == 0
    folder = tmp_path / "heterogeneity"
    assert runs_in(folder) == [] and not list(folder.glob(".*"))
    assert 'id="run"' not in (folder / "report.html").read_text()
