"""Runs what is missing: claims cells by locks, writes every result as it comes, goes on where something fails."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from anomalib_cops.errors import InputError

from ..plan.cells import Cell, Training
from ..records.result import Result
from ..records.store import Store, held
from .work import Event, Executor, Failed, Runner, Started, Tested, Trained, Work

POLL_SECONDS = 0.5
"""Between looks at what another run holds."""


@dataclass
class Outcome:
    """How a run went.

    Attributes:
        tested: Categories tested by this run.
        failures: Sentences, with the cell and category that they are about.
    """

    tested: int = 0
    failures: list[str] = field(default_factory=list)


class Progress(Protocol):
    """Shows a run."""

    def __enter__(self) -> Self:
        """Begins."""
        ...

    def __exit__(self, *error: Any) -> None:
        """Ends, also where an error ends it."""
        ...

    def event(self, event: Event, total: int, left: int) -> None:
        """Told of everything that happens, with the categories in all and those that are not done."""
        ...

    def note(self, text: str) -> None:
        """Told what a person should know."""
        ...


@dataclass
class Schedule:
    """A run of cells on one folder of results; other runs may work on the same.

    Attributes:
        cells: To be run, in order.
        store: The folder.
        runner: Does the work.
        executor: Says where.
        progress: Shows it.
        made_by: Versions, commit and machine, kept with every result.
    """

    cells: Sequence[Cell]
    store: Store
    runner: Runner
    executor: Executor
    progress: Progress
    made_by: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Nothing is known yet."""
        self._surveys: dict[str, dict[str, str]] = {}
        self._left: dict[str, set[str]] = {}
        self._ready: set[str] = set()
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
                self._refuse(cell, str(error))
            else:
                waiting.append(cell)
                self._left[cell.fingerprint] = set(self.missing(cell))
        self._tell_notices()
        while waiting:
            with ExitStack() as locks:
                claimed, waiting = self._claim(waiting, locks)
                if claimed:
                    self._work(claimed, locks)
            if waiting and not claimed:
                time.sleep(POLL_SECONDS)
        return self._outcome

    def missing(self, cell: Cell) -> tuple[str, ...]:
        """Categories of a cell that have no figures, or figures of other images."""
        known = self.store.read(cell).categories
        digests = self.survey(cell)
        return tuple(name for name, digest in digests.items() if name not in known or known[name].images != digest)

    def trained(self, training: Training) -> Path | None:
        """The folder of a training, if it is complete."""
        if training.fingerprint not in self._ready:
            if self.store.training(training) is None:
                return None
            self._ready.add(training.fingerprint)
        return self.store.trained_folder(training)

    def survey(self, cell: Cell) -> dict[str, str]:
        """Categories of a cell, each with a digest of its images; asked for once."""
        if cell.fingerprint not in self._surveys:
            self._surveys[cell.fingerprint] = self.runner.survey(cell)
        return self._surveys[cell.fingerprint]

    def _refuse(self, cell: Cell, message: str) -> None:
        """Records that nothing can be done about a cell."""
        with held(self.store.lock(cell.fingerprint)) as free:
            if free:
                self._update(cell, failed=Failed(cell, "", message))
        self._outcome.failures.append(f"{cell.title}: {message}")

    def _claim(self, waiting: Sequence[Cell], locks: ExitStack) -> tuple[list[Work], list[Cell]]:
        """Takes what is free, up to the executor's width.

        Returns:
            What was taken, and what remains: held by another run, or beyond the width.
        """
        claimed: list[Work] = []
        remaining: list[Cell] = []
        mine: set[str] = set()
        for cell in waiting:
            if self.executor.width is not None and len(claimed) >= self.executor.width:
                remaining.append(cell)
                continue
            with ExitStack() as attempt:
                if not attempt.enter_context(held(self.store.lock(cell.fingerprint))):
                    remaining.append(cell)
                    continue
                missing = self.missing(cell)
                self._left[cell.fingerprint] = set(missing)
                self._tell_notices()
                if not missing:
                    continue
                training = cell.training
                if self.trained(training) is None and training.fingerprint not in mine:
                    # Held until the cell is done; another run takes other trainings meanwhile.
                    if not attempt.enter_context(held(self.store.lock(training.fingerprint))):
                        remaining.append(cell)
                        continue
                    mine.add(training.fingerprint)
                claimed.append(Work(cell, missing))
                locks.push(attempt.pop_all())
        return claimed, remaining

    def _work(self, claimed: Sequence[Work], locks: ExitStack) -> None:
        for event in self.executor.run(claimed, self.runner, self):
            self._record(event)
            left = sum(len(categories) for categories in self._left.values())
            self.progress.event(event, sum(len(each) for each in self._surveys.values()), left)

    def _record(self, event: Event) -> None:
        match event:
            case Trained():
                event.record.run = self.made_by
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
        """Reads a cell's file, which this run has locked, adds to it, and writes it."""
        result = self.store.read(cell)
        digests = self._surveys.get(cell.fingerprint, {})
        result.expected = list(digests) or result.expected
        result.training = self.store.training(cell.training)
        result.categories = {name: each for name, each in result.categories.items() if name in result.expected}
        result.failures = {name: each for name, each in result.failures.items() if name in result.expected}
        if tested is not None:
            for name, content in tested.files.items():
                self.store.write_file(name, content)
            tested.scores.made_by = _index(result, self.made_by)
            result.categories[tested.category] = tested.scores
            result.failures.pop(tested.category, None)
        if failed is not None:
            result.failures[failed.category] = failed.message
            result.categories.pop(failed.category, None)
        self.store.write(cell, result)

    def _tell_notices(self) -> None:
        while self.store.notices:
            self.progress.note(self.store.notices.pop(0))


def _index(result: Result, made_by: dict[str, Any]) -> int:
    """Place of a run among those of a result, where it is added if it is new."""
    if made_by not in result.runs:
        result.runs.append(made_by)
    return result.runs.index(made_by)
