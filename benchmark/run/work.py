"""What the scheduler and whoever does the work say to each other; no heavy imports, so each can be tested alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..plan.cells import Cell, Training
from ..records.result import Scores, TrainingRecord


@dataclass(frozen=True)
class Work:
    """A cell and its categories that have to be tested."""

    cell: Cell
    categories: tuple[str, ...]


@dataclass(frozen=True)
class Started:
    """Something is under way; a category, or the training if none."""

    cell: Cell
    category: str | None = None


@dataclass(frozen=True)
class Trained:
    """A training is done; ``weights`` is the content of the record's file."""

    training: Training
    record: TrainingRecord
    weights: bytes = b""


@dataclass(frozen=True)
class Tested:
    """A category is done; ``files`` are maps and pictures by their path in the folder of results."""

    cell: Cell
    category: str
    scores: Scores
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """A category could not be tested, or none of the cell's could if ``category`` is empty."""

    cell: Cell
    category: str
    message: str


Event = Started | Trained | Tested | Failed


class Tester(Protocol):
    """A trained model."""

    def test(self, cell: Cell, category: str) -> Tested:
        """Test one category."""
        ...


class Runner(Protocol):
    """Trains and tests; it is pickled and sent to other processes."""

    def survey(self, cell: Cell) -> dict[str, str]:
        """Lists the categories of a cell's target, each with a digest of its test images.

        The digest is empty where a category cannot be used; the test then says why.

        Raises:
            InputError: The target cannot be used at all.
        """
        ...

    def train(self, training: Training) -> Trained:
        """Learn from the source."""
        ...

    def open(self, cell: Cell, folder: Path) -> Tester:
        """Load what was trained, from the folder that holds the record's file."""
        ...


class Executor(Protocol):
    """Does work somewhere.

    Attributes:
        width: How many cells it takes at once; None for all that there are.
    """

    width: int | None

    def run(self, work: Sequence[Work], runner: Runner, folders: "Folders") -> Iterator[Event]:
        """Does the work, and tells as it goes. What fails is told as well; it does not stop the rest."""
        ...


class Folders(Protocol):
    """Knows what is trained already, and where it lies."""

    def trained(self, training: Training) -> Path | None:
        """The folder of a training that is complete."""
        ...
