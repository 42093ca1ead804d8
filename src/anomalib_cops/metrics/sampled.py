"""Per-region overlap as the official codes sample it, which differs a little from the exact metric of anomalib."""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage


def sampled_aupro(
    maps: Float[np.ndarray, "batch height width"],
    masks: Bool[np.ndarray, "batch height width"],
    *,
    limit: float = 0.3,
    thresholds: int = 200,
) -> float:
    """Compute the area under the per-region overlap curve as the codes of AnomalyCLIP, CoPS and VCP-CLIP sample it.

    Thresholds are evenly spaced from the smallest score upwards. The overlap is averaged over all regions of all masks;
    a region is a set of pixels that touch, also at corners. Points with a false positive rate below ``limit`` are kept,
    and their rates stretched to [0, 1]. The exact metric, which interpolates at the limit, is
    ``anomalib.metrics.AUPRO``.

    Args:
        maps: Anomaly maps of one category.
        masks: Anomalous pixels.
        limit: Limit of the false positive rate, in (0, 1].
        thresholds: Number of thresholds.

    Returns:
        The area in [0, 1]; NaN if it is not defined: the maps are constant, there is no region or no normal pixel, or
        no two points below the limit have different rates (there the official codes raise an error or return NaN).
    """
    low, high = float(maps.min()), float(maps.max())
    labels = [ndimage.label(mask, structure=np.ones((3, 3)))[0] for mask in masks]
    regions = [maps[i][label == number] for i, label in enumerate(labels) for number in range(1, label.max() + 1)]
    normal = np.sort(maps[~masks])
    if high <= low or not regions or not normal.size:
        return float("nan")
    steps = np.arange(low, high, (high - low) / thresholds)
    rate = _share_above(normal, steps)
    overlap = np.mean([_share_above(np.sort(region), steps) for region in regions], axis=0)
    kept = rate < limit
    rate, overlap = rate[kept][::-1], overlap[kept][::-1]
    if not rate.size or rate[0] == rate[-1]:
        return float("nan")
    return float(np.trapezoid(overlap, (rate - rate[0]) / (rate[-1] - rate[0])))


def _share_above(ascending: Float[np.ndarray, " pixels"], steps: Float[np.ndarray, " steps"]) -> np.ndarray:
    return 1 - np.searchsorted(ascending, steps, side="right") / ascending.size
