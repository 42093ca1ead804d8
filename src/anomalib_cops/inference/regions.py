"""Regions of an anomaly map that are above the threshold. Needs NumPy alone, as it also runs beside exported models."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_RIGHT, _DOWN, _LEFT, _UP = (1, 0), (0, 1), (-1, 0), (0, -1)
_CLOCKWISE = (_RIGHT, _DOWN, _LEFT, _UP)
# From a corner, the cells ahead on the left and on the right of each direction, as offsets (column, row).
_AHEAD = (((0, -1), (0, 0)), ((0, 0), (-1, 0)), ((-1, 0), (-1, -1)), ((-1, -1), (0, -1)))


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


def find_regions(values: npt.NDArray[np.float32], threshold: float) -> list[Region]:
    """Return the regions of a map (height, width) whose values are above a threshold, the highest peak first.

    Pixels that touch, also at corners, belong to one region.
    """
    mask = values > threshold
    if not mask.any():
        return []
    rows, starts, ends = _runs(mask)
    owners = _joined(len(rows), *_touching(rows, starts, ends, mask.shape[1]))
    lengths = ends - starts
    peaks = np.maximum.reduceat(values[mask], np.concatenate([[0], lengths.cumsum()[:-1]]))
    order = np.argsort(owners, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(owners[order])) + 1)
    regions = []
    for runs in groups:
        left, top = int(starts[runs].min()), int(rows[runs].min())
        right, bottom = int(ends[runs].max()), int(rows[runs].max()) + 1
        own = np.zeros((bottom - top, right - left), bool)
        for row, start, end in zip(rows[runs] - top, starts[runs] - left, ends[runs] - left, strict=True):
            own[row, start:end] = True
        contour = [(x + left, y + top) for x, y in outline(own)]
        regions.append(Region((left, top, right, bottom), int(lengths[runs].sum()), float(peaks[runs].max()), contour))
    return sorted(regions, key=lambda region: -region.peak)


def outline(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the corners (x, y) of the outer outline of one region, clockwise from its first pixel.

    Args:
        mask: True for its pixels, shape (height, width), cut to its box.
    """
    # Cells in one row of bytes, by whose number a step in any direction is an addition.
    width = mask.shape[1] + 2
    cells = np.pad(mask, 1).tobytes()
    steps = [y * width + x for x, y in _CLOCKWISE]
    ahead = [tuple(y * width + x for x, y in pair) for pair in _AHEAD]
    start = place = width + 1 + int(mask[0].argmax())
    direction = 0
    corners = [start]
    while True:
        place += steps[direction]
        left, right = ahead[direction]
        if cells[place + left]:
            turned = (direction - 1) % 4
        elif cells[place + right]:
            turned = direction
        else:
            turned = (direction + 1) % 4
        if place == start and turned == 0:
            return [(corner % width - 1, corner // width - 1) for corner in corners]
        if turned != direction:
            corners.append(place)
        direction = turned


def _runs(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return row, first column and end of every horizontal run of pixels, in order."""
    padded = np.pad(mask, ((0, 0), (1, 1)))
    # A row begins and ends outside, so that its edges are starts and ends in turn.
    places = np.flatnonzero(padded[:, 1:] != padded[:, :-1])
    rows, columns = np.divmod(places, mask.shape[1] + 1)
    return rows[::2], columns[::2], columns[1::2]


def _touching(
    rows: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], width: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the pairs of runs that touch a run of the row above, also at corners."""
    # One axis for all rows, in which runs of different rows lie far apart.
    step = width + 2
    first = np.searchsorted(rows * step + ends, (rows - 1) * step + starts, side="left")
    last = np.searchsorted(rows * step + starts, (rows - 1) * step + ends, side="right")
    counts = np.maximum(last - first, 0)
    lower = np.repeat(np.arange(len(rows)), counts)
    upper = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts) + np.repeat(first, counts)
    return upper, lower


def _joined(count: int, upper: npt.NDArray[np.int64], lower: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return for each run the smallest number of a run that it is connected with."""
    owners = np.arange(count)
    while True:
        smallest = np.minimum(owners[upper], owners[lower])
        before = owners.copy()
        for side in (upper, lower):
            np.minimum.at(owners, owners[side], smallest)
            np.minimum.at(owners, side, smallest)
        owners = owners[owners]
        if (owners == before).all():
            return owners
