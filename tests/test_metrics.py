"""Test metrics that follow the official codes."""

import math

import numpy as np
import pytest

from anomalib_cops.metrics import sampled_aupro


def by_hand(maps: np.ndarray, masks: np.ndarray, regions: list[np.ndarray], limit: float) -> float:
    """Compute the metric from its definition, threshold by threshold."""
    low, high = maps.min(), maps.max()
    points = []
    for step in np.arange(low, high, (high - low) / 200):
        above = maps > step
        rate = (above & ~masks).sum() / (~masks).sum()
        if rate < limit:
            points.append((rate, np.mean([above[region].mean() for region in regions])))
    rates, overlaps = np.array(points)[::-1].T
    rates = (rates - rates.min()) / (rates.max() - rates.min())
    return float(((rates[1:] - rates[:-1]) * (overlaps[1:] + overlaps[:-1]) / 2).sum())


@pytest.mark.parametrize("limit", [0.3, 0.1])
def test_each_region_counts_the_same_and_corners_touch(limit: float) -> None:
    rng = np.random.default_rng(0)
    masks = np.zeros((2, 16, 16), bool)
    masks[0, 2:6, 2:6] = True
    masks[0, 6, 6] = True  # touches the square at a corner: one region
    masks[1, 10:12, 3:5] = True
    masks[1, 1, 14] = True
    regions = [masks.copy() for _ in range(3)]
    regions[0][1] = False
    regions[1][0] = regions[2][0] = False
    regions[1][1, 1, 14] = False
    regions[2][1, 10:12, 3:5] = False
    maps = rng.random((2, 16, 16)) + 0.7 * masks
    assert sampled_aupro(maps, masks, limit=limit) == pytest.approx(by_hand(maps, masks, regions, limit))


@pytest.mark.parametrize("kind", ["constant", "no region", "no normal pixel", "separated"])
def test_what_is_not_defined_is_nan(kind: str) -> None:
    masks = np.zeros((1, 8, 8), bool)
    masks[0, :2] = kind != "no region"
    maps = np.linspace(0, 1, 64).reshape(1, 8, 8)
    if kind == "constant":
        maps[:] = 0.5
    elif kind == "no normal pixel":
        masks[:] = True
    elif kind == "separated":
        maps = masks.astype(float)
    assert math.isnan(sampled_aupro(maps, masks))
