"""Test regions of a map against SciPy's, and their outlines."""

import numpy as np
import pytest
from scipy import ndimage

from anomalib_cops.inference.regions import find_regions, outline


def area(contour: list[tuple[int, int]]) -> float:
    """Return the area inside of a contour, positive if it is clockwise."""
    x, y = np.array(contour).T
    return 0.5 * (np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


@pytest.mark.parametrize("seed", range(40))
def test_regions_are_those_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random(rng.integers(1, 40, 2)).astype(np.float32)
    if seed % 2:
        values = ndimage.gaussian_filter(values, 2)
    threshold = float(np.quantile(values, rng.random()))
    labels, count = ndimage.label(values > threshold, np.ones((3, 3)))
    expected = {}
    for index, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        own = labels == index
        key = (columns.start, rows.start, columns.stop, rows.stop), int(own.sum()), float(values[own].max())
        expected[key] = ndimage.binary_fill_holes(own).sum()
    found = find_regions(values, threshold)
    assert len(found) == count
    assert {(each.box, each.area, each.peak): area(each.contour) for each in found} == expected
    assert [each.peak for each in found] == sorted((each.peak for each in found), reverse=True)


def test_an_outline_goes_round_the_corners_of_pixels_clockwise() -> None:
    assert outline(np.array([[True]])) == [(0, 0), (1, 0), (1, 1), (0, 1)]
    diagonal = outline(np.eye(2, dtype=bool))
    assert area(diagonal) == 2 and diagonal[0] == (0, 0)


def test_a_calm_map_has_no_regions() -> None:
    assert find_regions(np.zeros((5, 6), np.float32), 0.5) == []
