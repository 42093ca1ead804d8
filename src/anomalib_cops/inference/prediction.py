"""What a model says about a picture; the same for all ways to run a model."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anomalib_cops.inference.pictures import Picture
from anomalib_cops.thresholds import Thresholds

EXACT = "32-true"
ROUNDED = "bf16-mixed"
PRECISIONS = (EXACT, ROUNDED)
"""Lightning's names of the precisions that a predictor computes in."""


@dataclass(frozen=True)
class Prediction:
    """Score in [0, 1] and anomaly map (height, width) in [0, 1] of one picture."""

    score: float
    map: npt.NDArray[np.float32]


class Backend(ABC):
    """A model that scores pictures."""

    @property
    @abstractmethod
    def thresholds(self) -> Thresholds:
        """What its scores and maps are compared with."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Plain data that decides on its scores."""

    @property
    @abstractmethod
    def input_size(self) -> tuple[int, int] | None:
        """Height and width that every picture is resized to first; None if the model takes them as they are."""

    @abstractmethod
    def predict(self, pictures: Sequence[Picture]) -> list[Prediction]:
        """Score pictures of any sizes together."""


def named_precision(precision: str) -> dict[str, str]:
    """Return the entry of the settings for a precision; none for float32, which earlier versions did not name."""
    return {} if precision == EXACT else {"precision": precision}
