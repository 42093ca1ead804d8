"""Define what a model says about the test images of one category."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer


@dataclass(frozen=True)
class Predictions:
    """Scores and maps of the images of one category, with their labels.

    Attributes:
        scores: Anomaly score of each image.
        labels: 1 for an anomalous image, 0 for a normal one.
        maps: Anomaly maps; None where the model makes none, or pixels are not labelled.
        masks: True for anomalous pixels; None where pixels are not labelled.
    """

    scores: Float[np.ndarray, " batch"]
    labels: Integer[np.ndarray, " batch"]
    maps: Float[np.ndarray, "batch height width"] | None = None
    masks: Bool[np.ndarray, "batch height width"] | None = None


@dataclass(frozen=True)
class CategoryOutput:
    """Output of a model for one category.

    Attributes:
        predictions: Scores and maps with labels.
        paths: Path of each image.
        seconds: Seconds that the model took for all images.
    """

    predictions: Predictions
    paths: list[str]
    seconds: float
