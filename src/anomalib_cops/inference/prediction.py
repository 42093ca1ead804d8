"""What a model says about a picture, and what its scores are compared with; the same for all ways to run a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from anomalib_cops.inference.pictures import Picture


@dataclass(frozen=True)
class Thresholds:
    """Thresholds on the scale of the returned scores.

    Attributes:
        image: an image is labelled anomalous if its score is above it; None if the model gives no labels.
        pixel: a pixel belongs to a region if the map is above it.
        calibrated: whether the image threshold was found or chosen by somebody.
        origin: where it comes from, as the end of a sentence.
    """

    image: float | None = 0.5
    pixel: float = 0.5
    calibrated: bool = False
    origin: str = "which nobody calibrated"


@dataclass(frozen=True)
class Prediction:
    """Score in [0, 1] and anomaly map (height, width) in [0, 1] of one picture."""

    score: float
    map: npt.NDArray[np.float32]


@runtime_checkable
class Backend(Protocol):
    """A model that scores pictures.

    Attributes:
        thresholds: what its scores are compared with.
        settings: plain data that decides on its scores.
    """

    @property
    def thresholds(self) -> Thresholds: ...  # noqa: D102 (see the class)

    @property
    def settings(self) -> dict[str, Any]: ...  # noqa: D102

    def predict(self, pictures: Sequence[Picture]) -> list[Prediction]:
        """Score pictures of any sizes together."""
