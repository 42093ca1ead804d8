"""Run cells in this process, one after the other."""

from collections.abc import Iterator, Sequence

from anomalib_cops.errors import InputError

from ..plan.cells import Cell, Training
from .events import Event, Failed, Started, Trained
from .failures import sentence
from .protocols import PendingCell, Runner, Tester, TrainedFolders


class LocalExecutor:
    """Train and test in this process; keep the model of the latest cell, since the next one often needs the same."""

    width: int | None = 1

    def __init__(self) -> None:
        self._failed_trainings: dict[str, str] = {}
        self._latest: tuple[object, Tester] | None = None

    def run(self, pending: Sequence[PendingCell], runner: Runner, folders: TrainedFolders) -> Iterator[Event]:
        """Train where necessary, then test; see ``Executor``."""
        for item in pending:
            try:
                if folders.trained(item.cell.training) is None:
                    yield Started(item.cell)
                    yield self._train(item.cell.training, runner)
                tester = self._tester(item.cell, runner, folders)
            except Exception as error:  # a model or its data may raise anything
                yield Failed(item.cell, "", sentence(error))
                continue
            for category in item.categories:
                yield Started(item.cell, category)
                try:
                    yield tester.test(item.cell, category)
                except Exception as error:
                    yield Failed(item.cell, category, sentence(error))

    def _train(self, training: Training, runner: Runner) -> Trained:
        """Train; if the same training has failed before, fail at once instead of spending the same hours again."""
        if training.fingerprint in self._failed_trainings:
            raise InputError(self._failed_trainings[training.fingerprint])
        try:
            return runner.train(training)
        except Exception as error:
            self._failed_trainings[training.fingerprint] = sentence(error)
            raise

    def _tester(self, cell: Cell, runner: Runner, folders: TrainedFolders) -> Tester:
        key = (cell.training.fingerprint, repr(sorted(cell.test_options.items())))
        if self._latest is None or self._latest[0] != key:
            self._latest = None  # free the memory first
            folder = folders.trained(cell.training)
            if folder is None:
                raise InputError(f"the training of {cell.title} is not there; run the same command again.")
            self._latest = (key, runner.load(cell, folder))
        return self._latest[1]
