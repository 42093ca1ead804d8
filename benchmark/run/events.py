"""Define what executors report while they work: no heavy imports, so that scheduling can be tested alone."""

from dataclasses import dataclass, field

from ..plan.cells import Cell, Training
from ..records.result import Scores, TrainingRecord


@dataclass(frozen=True)
class Started:
    """Work has begun on a category, or on the training if ``category`` is None."""

    cell: Cell
    category: str | None = None


@dataclass(frozen=True)
class Trained:
    """A training is done; ``weights`` is the content of the file that the record names."""

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
    """A category could not be tested, or no category of the cell if ``category`` is empty."""

    cell: Cell
    category: str
    message: str


Event = Started | Trained | Tested | Failed
