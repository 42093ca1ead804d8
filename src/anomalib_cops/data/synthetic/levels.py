"""Prominence: a measure of how much a defect stands out, and the levels of difficulty that are ranges of it."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anomalib_cops.data.synthetic.canvas import Array


@dataclass(frozen=True)
class Level:
    """Range of the prominence of defects (see ``prominence``).

    Attributes:
        least: Lower bound.
        most: Upper bound.
    """

    least: float = 0.0
    most: float = float("inf")

    def log_distance(self, prominence: float) -> float:
        """Return the distance to the range as a log ratio: negative for too faint a defect, positive for too plain."""
        return float(np.log(prominence / np.clip(prominence, self.least, self.most)))


LEVELS: dict[str, Level] = {
    "mixed": Level(),
    "easy": Level(least=0.5),
    "medium": Level(least=0.25, most=0.5),
    "hard": Level(most=0.25),
}
"""From ``easy``, which nobody overlooks, to ``hard``, which a careful inspector finds at second glance."""


def prominence(flawless: npt.NDArray[np.uint8], damaged: npt.NDArray[np.uint8]) -> float:
    """Return the root mean square of the change over the picture, in units of the least visible change.

    Up to a constant this is the detectability of a known signal in noise: wide and strong changes count more.

    Args:
        flawless: RGB levels without the defect, shape (size, size, 3).
        damaged: RGB levels with it, same shape.
    """
    change = cv2.absdiff(flawless, damaged).max(axis=2).astype(np.float32) / visible_change(flawless)
    return float(np.sqrt(np.mean(change * change)))


def visible_change(flawless: npt.NDArray[np.uint8]) -> Array:
    """Return the least change, in levels, that an inspector would see: more where the picture itself is busy."""
    brightness = flawless.mean(axis=2, dtype=np.float32)
    window = (max(3, flawless.shape[0] // 16),) * 2
    mean = cv2.blur(brightness, window)
    spread = np.sqrt(np.maximum(cv2.blur(brightness * brightness, window) - mean * mean, 0))
    return np.asarray(9 + 0.35 * spread, np.float32)
