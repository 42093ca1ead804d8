"""Work in this process, one cell after the other."""

import traceback
from collections.abc import Iterator, Sequence

from anomalib_cops.errors import InputError

from ..plan.cells import Cell, Training
from .work import Event, Failed, Folders, Runner, Started, Tester, Trained, Work


class LocalExecutor:
    """Does everything here; keeps the model of the latest cell, since the next one often needs the same."""

    width: int | None = 1

    def __init__(self) -> None:
        self._untrainable: dict[str, str] = {}
        self._latest: tuple[object, Tester] | None = None

    def run(self, work: Sequence[Work], runner: Runner, folders: Folders) -> Iterator[Event]:
        """Train where need be, then test; see ``Executor``."""
        for item in work:
            try:
                if folders.trained(item.cell.training) is None:
                    yield Started(item.cell)
                    yield self._train(item.cell.training, runner)
                tester = self._open(item.cell, runner, folders)
            except Exception as error:  # whatever a model or its data may raise
                yield Failed(item.cell, "", sentence(error))
                continue
            for category in item.categories:
                yield Started(item.cell, category)
                try:
                    yield tester.test(item.cell, category)
                except Exception as error:
                    yield Failed(item.cell, category, sentence(error))

    def _train(self, training: Training, runner: Runner) -> Trained:
        """A training that failed fails again at once: the next cell shall not spend the same hours."""
        if training.fingerprint in self._untrainable:
            raise InputError(self._untrainable[training.fingerprint])
        try:
            return runner.train(training)
        except Exception as error:
            self._untrainable[training.fingerprint] = sentence(error)
            raise

    def _open(self, cell: Cell, runner: Runner, folders: Folders) -> Tester:
        key = (cell.training.fingerprint, repr(sorted(cell.test_options.items())))
        if self._latest is None or self._latest[0] != key:
            self._latest = None  # frees the memory first
            folder = folders.trained(cell.training)
            if folder is None:
                raise InputError(f"the training of {cell.title} is not there; run the same command again.")
            self._latest = (key, runner.open(cell, folder))
        return self._latest[1]


def sentence(error: BaseException) -> str:
    """One line about an error: our own sentence, or the kind of error and where it was raised."""
    if isinstance(error, InputError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].name}, line {frames[-1].lineno})" if frames else ""
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}{place}"
