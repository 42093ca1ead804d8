"""Run a real Ray with two workers and a model that costs no time."""

import signal
import socket

import pytest

from anomalib_cops.errors import InputError
from benchmark.records.store import Store
from benchmark.report.table_command import table
from benchmark.run.executors import make_executor
from tests.benchmark.fake import FakeRunner, matrix, schedule

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install '.[ray]'")
pytestmark = pytest.mark.alone


@pytest.mark.filterwarnings("ignore")
def test_a_killed_worker_loses_nothing(tmp_path):
    handler = signal.getsignal(signal.SIGTERM)
    few = matrix(methods=matrix().methods[:2])
    schedule(tmp_path / "here/results", cells=few.cells()).run()
    expected = table(tmp_path / "here/results", "csv")
    journal = tmp_path / "there/journal"
    journal.parent.mkdir()
    runner = FakeRunner(journal, pause=0.02, deadly=("e",), failing=("h",))
    outcome = schedule(
        journal.parent / "results", cells=few.cells(), runner=runner, executor=make_executor("ray")
    ).run()
    assert (tmp_path / "there/died-e").exists()
    assert signal.getsignal(signal.SIGTERM) is handler
    assert len(outcome.failures) == 2 and all("h cannot be tested" in each for each in outcome.failures)
    begun = [line for line in journal.read_text().splitlines() if line.endswith(" e")]
    assert len(begun) > 2  # the killed one was tried again
    # Resuming in this process fills the hole that the failure left, and gives the same table.
    schedule(journal.parent / "results", cells=few.cells(), runner=FakeRunner(journal)).run()
    assert table(journal.parent / "results", "csv") == expected
    trained = [result.training.images for _, result in Store(journal.parent / "results").results()]
    assert set(trained) == {10}


def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(InputError, match=f"no Ray cluster answers at {address}"):
        schedule(tmp_path / "results", executor=make_executor("ray", address)).run()


def test_impossible_resources_are_refused(tmp_path):
    with pytest.raises(InputError, match="at least one processor"):
        make_executor("ray", cpus=0)
