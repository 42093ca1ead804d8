"""Run what is missing: claim cells by locks, write every result as it comes, and go on where something fails."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anomalib_cops.errors import InputError

from ..plan.cells import Cell, Training
from ..records.locks import try_lock
from ..records.store import Store
from .events import Event, Failed, Started, Tested, Trained
from .protocols import Executor, PendingCell, Progress, Runner

POLL_SECONDS = 0.5
"""Time between two looks at cells that another run holds."""


@dataclass
class Outcome:
    """How a run went.

    Attributes:
        tested: Number of categories that the run tested.
        failures: Sentences that name the cell and category that failed.
    """

    tested: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass
class Schedule:
    """A run of cells on one folder of results; other runs may work on the same.

    Attributes:
        cells: Cells to run, in order.
        store: The folder of results.
        runner: Trains and tests.
        executor: Decides where that happens.
        progress: Shows how the run is going.
        provenance: Versions, commit and machine, which are kept with every result.
    """

    cells: Sequence[Cell]
    store: Store
    runner: Runner
    executor: Executor
    progress: Progress
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start with nothing surveyed."""
        # Of each cell by fingerprint: digests of images by category, and the categories that are not done.
        self._surveys: dict[str, dict[str, str]] = {}
        self._left: dict[str, set[str]] = {}
        self._complete_trainings: set[str] = set()
        self._outcome = Outcome()

    def run(self) -> Outcome:
        """Run until nothing is missing but what failed.

        Raises:
            InputError: The folder cannot be written to, or holds results of another version.
        """
        self.store.check_writable()
        waiting = []
        for cell in self.cells:
            try:
                self.survey(cell)
            except InputError as error:
                self._record_unusable(cell, str(error))
            else:
                waiting.append(cell)
                self._left[cell.fingerprint] = set(self.missing(cell))
        self._show_notices()
        while waiting:
            with ExitStack() as locks:
                claimed, waiting = self._claim(waiting, locks)
                if claimed:
                    self._execute(claimed)
            if waiting and not claimed:
                time.sleep(POLL_SECONDS)
        return self._outcome

    def missing(self, cell: Cell) -> tuple[str, ...]:
        """Return the categories of a cell that have no figures, or figures of other images."""
        return self.store.read(cell).pending(self.survey(cell))

    def trained(self, training: Training) -> Path | None:
        """Return the folder of a training; None if it is not complete."""
        if training.fingerprint not in self._complete_trainings:
            if self.store.training(training) is None:
                return None
            self._complete_trainings.add(training.fingerprint)
        return self.store.trained_folder(training)

    def survey(self, cell: Cell) -> dict[str, str]:
        """List the categories of a cell, each with a digest of its images; ask the runner only once."""
        if cell.fingerprint not in self._surveys:
            self._surveys[cell.fingerprint] = self.runner.survey(cell)
        return self._surveys[cell.fingerprint]

    def _record_unusable(self, cell: Cell, message: str) -> None:
        """Record that a cell cannot be run at all."""
        with try_lock(self.store.lock(cell.fingerprint)) as is_locked:
            if is_locked:
                self._update(cell, failed=Failed(cell, "", message))
        self._outcome.failures.append(f"{cell.title}: {message}")

    def _claim(self, waiting: Sequence[Cell], locks: ExitStack) -> tuple[list[PendingCell], list[Cell]]:
        """Lock cells that are free, up to the executor's width.

        Returns:
            The locked cells, and those that still have to wait: another run holds them, or they are beyond the width.
        """
        claimed: list[PendingCell] = []
        remaining: list[Cell] = []
        locked_trainings: set[str] = set()
        for cell in waiting:
            if self.executor.width is not None and len(claimed) >= self.executor.width:
                remaining.append(cell)
                continue
            with ExitStack() as attempt:
                if not attempt.enter_context(try_lock(self.store.lock(cell.fingerprint))):
                    remaining.append(cell)
                    continue
                missing = self.missing(cell)
                self._left[cell.fingerprint] = set(missing)
                self._show_notices()
                if not missing:
                    continue
                training = cell.training
                if self.trained(training) is None and training.fingerprint not in locked_trainings:
                    # Held until the cell is done; another run takes other trainings meanwhile.
                    if not attempt.enter_context(try_lock(self.store.lock(training.fingerprint))):
                        remaining.append(cell)
                        continue
                    locked_trainings.add(training.fingerprint)
                claimed.append(PendingCell(cell, missing))
                locks.push(attempt.pop_all())
        return claimed, remaining

    def _execute(self, claimed: Sequence[PendingCell]) -> None:
        for event in self.executor.run(claimed, self.runner, self):
            self._record(event)
            left = sum(len(categories) for categories in self._left.values())
            self.progress.event(event, sum(len(each) for each in self._surveys.values()), left)

    def _record(self, event: Event) -> None:
        match event:
            case Trained():
                event.record.run = self.provenance
                self.store.write_training(event.training, event.record, event.weights)
            case Tested():
                self._update(event.cell, tested=event)
                self._left[event.cell.fingerprint].discard(event.category)
                self._outcome.tested += 1
            case Failed():
                self._update(event.cell, failed=event)
                left = self._left.get(event.cell.fingerprint, set())
                self._left[event.cell.fingerprint] = left - {event.category} if event.category else set()
                place = f"{event.cell.title}" + f", {event.category}" * bool(event.category)
                self._outcome.failures.append(f"{place}: {event.message}")
            case Started():
                pass

    def _update(self, cell: Cell, tested: Tested | None = None, failed: Failed | None = None) -> None:
        """Add to the result of a cell that this run has locked."""
        result = self.store.read(cell)
        result.expected = list(self._surveys.get(cell.fingerprint, {})) or result.expected
        result.training = self.store.training(cell.training)
        result.categories = {name: each for name, each in result.categories.items() if name in result.expected}
        result.failures = {name: each for name, each in result.failures.items() if name in result.expected}
        if tested is not None:
            for name, content in tested.files.items():
                self.store.write_file(name, content)
            tested.scores.made_by = result.run_index(self.provenance)
            result.categories[tested.category] = tested.scores
            result.failures.pop(tested.category, None)
        if failed is not None:
            result.failures[failed.category] = failed.message
            result.categories.pop(failed.category, None)
        self.store.write(cell, result)

    def _show_notices(self) -> None:
        while self.store.notices:
            self.progress.note(self.store.notices.pop(0))
