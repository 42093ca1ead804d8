"""Thresholds of scores and maps, and what they say in words; needs the standard library alone."""

from dataclasses import dataclass
from typing import NamedTuple

NOBODY = "which nobody calibrated"


class LabelThreshold(NamedTuple):
    """Threshold of image scores: an image is labelled anomalous if its score is above ``value``.

    Attributes:
        value: Threshold on the scale of the returned scores, on which a threshold that was found is 0.5.
        calibrated: Whether the threshold was found or chosen by somebody.
        origin: Where it comes from, as the end of a sentence.
    """

    value: float
    calibrated: bool
    origin: str = ""

    def __str__(self) -> str:
        """Return the threshold as pictures and messages show it."""
        return f"{self.value:.3g}" if self.calibrated else f"{self.value:g} (not calibrated)"

    def uncalibrated(self, how: str) -> str:
        """Return the warning about a threshold that nobody calibrated.

        Args:
            how: what to call for a calibration.
        """
        return (
            f"The threshold is not calibrated, so a label only says that the score is above {self.value:g}: calibrate "
            f"it on good images of what you inspect ({how})."
        )


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
    origin: str = NOBODY

    @property
    def label(self) -> LabelThreshold | None:
        """The threshold of images; None if the model gives no labels."""
        return None if self.image is None else LabelThreshold(self.image, self.calibrated, self.origin)


def decision(score: float, label: bool | None, threshold: LabelThreshold | None) -> str:
    """Return score, threshold and label in words; the score alone without the others."""
    words = f"score {score:.3f}"
    if threshold is None or label is None:
        return words
    return f"{words}, threshold {threshold}: {'anomalous' if label else 'normal'}"
