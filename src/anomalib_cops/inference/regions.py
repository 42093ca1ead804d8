"""Regions of an anomaly map that are above the threshold: box, area, peak, contour. Needs NumPy alone."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """Connected pixels of an image that are above the threshold.

    Attributes:
        box: left, top, right and bottom in pixels of the image; right and bottom are the first beyond the region.
        area: number of pixels.
        peak: largest value of the anomaly map in the region, in [0, 1].
        contour: corners (x, y) of the outer outline along the edges of its pixels, clockwise; the last corner is not
            the first again.
    """

    box: tuple[int, int, int, int]
    area: int
    peak: float
    contour: list[tuple[int, int]]
