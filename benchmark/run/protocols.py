"""Define the parts of a run: who trains and tests, where that happens, and what the scheduler tells them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from ..plan.cells import Cell, Training
from .events import Event, Tested, Trained


@dataclass(frozen=True)
class PendingCell:
    """A cell with the categories that still have to be tested."""

    cell: Cell
    categories: tuple[str, ...]


class Tester(Protocol):
    """Tests one trained model."""

    def test(self, cell: Cell, category: str) -> Tested:
        """Test one category."""
        ...


class Runner(Protocol):
    """Trains and tests. It is pickled and sent to other processes."""

    def survey(self, cell: Cell) -> dict[str, str]:
        """List the categories of a cell's target, each with a digest of its test images.

        The digest is empty where a category cannot be used; the test then says why.

        Raises:
            InputError: The target cannot be used at all.
        """
        ...

    def train(self, training: Training) -> Trained:
        """Train on the source."""
        ...

    def load(self, cell: Cell, folder: Path) -> Tester:
        """Load what was trained.

        Args:
            cell: The cell to test.
            folder: Folder that holds the weights of its training.
        """
        ...


class TrainedFolders(Protocol):
    """Knows which trainings are complete and where their weights are."""

    def trained(self, training: Training) -> Path | None:
        """Return the folder of a training; None if it is not complete."""
        ...


class Executor(Protocol):
    """Runs cells somewhere.

    Attributes:
        width: Number of cells that it takes at once; None for all there are.
    """

    width: int | None

    def run(self, pending: Sequence[PendingCell], runner: Runner, folders: TrainedFolders) -> Iterator[Event]:
        """Train and test, and yield events as they happen; a failure is an event too and does not stop the rest."""
        ...


class Progress(Protocol):
    """Shows how a run is going; the run is its ``with`` block."""

    def __enter__(self) -> Self:
        """Start the display."""
        ...

    def __exit__(self, *error: Any) -> None:
        """End the display, also after an error."""
        ...

    def event(self, event: Event, total: int, left: int) -> None:
        """Show an event.

        Args:
            event: What has happened.
            total: Number of categories in all.
            left: Number of categories that are not done.
        """
        ...

    def note(self, text: str) -> None:
        """Show a sentence that the user should read."""
        ...
