"""Define what runs on a Ray cluster: a training, and the test of a cell."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..plan.cells import Training
from ..records.store import read_record
from .events import Event, Failed, Trained
from .failures import sentence
from .protocols import PendingCell, Runner


def read_trained(training: Training, folder: Path) -> Trained:
    """Read a finished training from this machine's disk, to send it to workers."""
    record = read_record(folder)
    return Trained(training, record, (folder / record.weights).read_bytes() if record.weights else b"")


def train(runner: Runner, training: Training) -> Trained | str:
    """Train; return a sentence if that fails, so that Ray does not try again."""
    try:
        return runner.train(training)
    except Exception as error:  # a model or its data may raise anything
        return sentence(error)


def test(runner: Runner, pending: PendingCell, trained: Trained | str) -> Iterator[Event]:
    """Test the categories of a cell and yield their events one by one.

    Args:
        runner: Loads the model and tests it.
        pending: The cell and its categories.
        trained: Its training, or a sentence if that failed.
    """
    if isinstance(trained, str):
        yield Failed(pending.cell, "", trained)
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            if trained.record.weights:
                (Path(folder) / trained.record.weights).write_bytes(trained.weights)
            tester = runner.load(pending.cell, Path(folder))
        except Exception as error:
            yield Failed(pending.cell, "", sentence(error))
            return
        for category in pending.categories:
            try:
                yield tester.test(pending.cell, category)
            except Exception as error:
                yield Failed(pending.cell, category, sentence(error))
