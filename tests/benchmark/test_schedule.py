"""Test runs that are killed, interrupted, shared or partly failing, with a model that costs no time."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from anomalib_cops.errors import InputError
from benchmark.records.reading import read_result
from benchmark.records.store import Store
from benchmark.report.table_command import table
from benchmark.run.command import execute
from tests.benchmark import fake
from tests.benchmark.fake import FakeRunner, Silent, matrix, schedule

ROOT = Path(__file__).parents[2]
KILLS = 20


def start(folder):
    """Start a run in a process of its own and wait until its imports are done."""
    places = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    process = subprocess.Popen(
        [sys.executable, fake.__file__, folder], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout.readline() == b"ready\n"
    return process


def finished(process):
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output.decode()


def tables(folder):
    return "".join(table(folder, style, categories=True) for style in ("markdown", "csv", "latex", "json"))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "results"
    begun = time.monotonic()
    outcome = schedule(folder, runner=FakeRunner(folder.parent / "journal", pause=0.004)).run()
    return tables(folder), outcome.tested, time.monotonic() - begun


def test_killed_at_random_moments_the_tables_are_the_same(uninterrupted, tmp_path):
    expected, count, seconds = uninterrupted
    folder = tmp_path / "results"
    moments = random.Random(0)
    killed = 0
    while killed < KILLS:
        process = start(folder)
        time.sleep(moments.uniform(0, seconds / 5))
        process.kill()
        process.communicate()
        if process.returncode == 0:  # there was nothing left to kill: begin once more
            assert tables(folder) == expected
            folder = tmp_path / f"results-{killed}"
        else:
            killed += 1
    finished(start(folder))
    assert tables(folder) == expected
    # Every kill loses at most what was in flight: one training or one category.
    begun = Counter((tmp_path / "journal").read_text().splitlines())
    folders = len([path for path in tmp_path.iterdir() if path.is_dir()])
    assert sum(begun.values()) - folders * len(begun) <= killed


def test_two_runs_share_the_work(uninterrupted, tmp_path):
    expected, count, _ = uninterrupted
    folder = tmp_path / "results"
    both = [start(folder), start(folder)]
    for process in both:
        finished(process)
    begun = (tmp_path / "journal").read_text().splitlines()
    assert len(begun) == len(set(begun))
    assert sum(line.startswith("test") for line in begun) == count
    assert tables(folder) == expected


def test_nothing_is_done_twice(tmp_path):
    first = schedule(tmp_path / "results").run()
    assert first.tested == 4 * 9
    before = (tmp_path / "journal").read_text()
    assert schedule(tmp_path / "results").run().tested == 0
    assert (tmp_path / "journal").read_text() == before


def test_rows_that_differ_in_the_test_only_share_a_training(tmp_path):
    schedule(tmp_path / "results").run()
    trainings = [line for line in (tmp_path / "journal").read_text().splitlines() if line.startswith("train")]
    assert len(trainings) == len(set(trainings)) == 2 * 3


def test_a_changed_setting_is_another_file(tmp_path):
    schedule(tmp_path / "results").run()
    before = sorted(path.name for path in (tmp_path / "results/cells").rglob("*.json"))
    changed = matrix()
    changed.methods[0].options["epochs"] = 2
    outcome = schedule(tmp_path / "results", cells=changed.cells()).run()
    after = sorted(path.name for path in (tmp_path / "results/cells").rglob("*.json"))
    assert outcome.tested == 9
    assert set(before) < set(after) and len(after) == len(before) + 3


def test_changed_images_are_tested_again(tmp_path, monkeypatch):
    schedule(tmp_path / "results").run()
    survey = FakeRunner.survey
    monkeypatch.setattr(
        FakeRunner, "survey", lambda self, cell: {k: "other" if k == "a" else v for k, v in survey(self, cell).items()}
    )
    run = schedule(tmp_path / "results")
    assert run.run().tested == 4


def test_what_fails_is_recorded_and_the_rest_goes_on(tmp_path, capsys):
    run = schedule(tmp_path / "results", runner=FakeRunner(tmp_path / "journal", failing=("b", "two")))
    assert execute(run) == 1
    assert "b cannot be tested" in capsys.readouterr().err
    results = [result for _, result in Store(tmp_path / "results").results()]
    alpha = [result for result in results if result.target == "alpha"]
    assert all(sorted(result.categories) == ["a", "c"] and "ValueError" in result.failures["b"] for result in alpha)
    gamma = [result for result in results if result.target == "gamma"]
    assert gamma and all(result.failures == {"": "two cannot be learned from."} for result in gamma)
    page = table(tmp_path / "results", "markdown")
    assert "| failed |" in page and "two cannot be learned from." in page
    # Once the reason is gone, the same command fills the holes and nothing else.
    outcome = schedule(tmp_path / "results").run()
    assert (outcome.tested, outcome.failures) == (4 * (1 + 4), [])
    assert "failed" not in table(tmp_path / "results", "markdown")


def test_a_training_that_failed_is_not_tried_for_every_target(tmp_path):
    runner = FakeRunner(tmp_path / "journal", failing=("one",))
    outcome = schedule(tmp_path / "results", runner=runner).run()
    assert len(outcome.failures) == 4 * 2
    trainings = [line for line in (tmp_path / "journal").read_text().splitlines() if line.startswith("train")]
    assert len(trainings) == len(set(trainings)) == 2 * 3


def test_an_unusable_target_does_not_stop_the_others(tmp_path):
    cells = matrix(transfers=[fake.Transfer("one", ["nowhere", "beta"])]).cells()
    outcome = schedule(tmp_path / "results", cells=cells).run()
    assert outcome.tested == 4 * 2 and len(outcome.failures) == 4
    assert "there is no nowhere." in table(tmp_path / "results", "markdown")


def test_a_damaged_result_is_moved_aside_and_made_again(tmp_path):
    schedule(tmp_path / "results").run()
    expected = tables(tmp_path / "results")
    path = next((tmp_path / "results/cells").rglob("*alpha*.json"))
    path.write_bytes(path.read_bytes()[:100])
    run = schedule(tmp_path / "results")
    assert run.run().tested == 3
    (note,) = run.progress.notes
    assert path.name in note and "damaged" in note
    assert path.with_name(path.name + ".damaged-1").is_file()
    assert tables(tmp_path / "results") == expected


def test_damaged_weights_are_trained_again(tmp_path):
    schedule(tmp_path / "results").run()
    weights = next((tmp_path / "results/trained").rglob("weights.bin"))
    weights.write_bytes(b"x")
    for path in (tmp_path / "results/cells").rglob("*.json"):
        path.unlink()
    run = schedule(tmp_path / "results")
    run.run()
    assert any("damaged" in note for note in run.progress.notes)
    assert weights.read_bytes() != b"x"


def test_an_older_format_is_refused_in_words(tmp_path):
    schedule(tmp_path / "results").run()
    path = next((tmp_path / "results/cells").rglob("*.json"))
    path.write_text(path.read_text().replace('"format": 1', '"format": 0'))
    with pytest.raises(InputError, match="older version"):
        read_result(path)
    with pytest.raises(InputError, match="older version"):
        schedule(tmp_path / "results").run()
    assert '"format": 0' in path.read_text()


class InterruptedRunner(FakeRunner):
    """Send Ctrl-C in the middle of a category."""

    def survey(self, cell):
        return super().survey(cell)

    def note(self, line):
        super().note(line)
        if len(self.journal.read_text().splitlines()) == 5:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_says_how_to_go_on(tmp_path, capsys):
    assert execute(schedule(tmp_path / "results", runner=InterruptedRunner(tmp_path / "journal"))) == 130
    assert "Go on with:" in capsys.readouterr().err
    assert schedule(tmp_path / "results").run().failures == []
    begun = (tmp_path / "journal").read_text().splitlines()
    assert len(begun) - len(set(begun)) <= 1


def test_progress_counts_down(tmp_path):
    run = schedule(tmp_path / "results", runner=FakeRunner(tmp_path / "journal", failing=("b", "two")))
    run.run()
    progress: Silent = run.progress
    lefts = [left for _, left in progress.counts]
    assert {total for total, _ in progress.counts} == {4 * 9}
    assert lefts == sorted(lefts, reverse=True) and lefts[-1] == 0
