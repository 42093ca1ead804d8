"""Per-region overlap as the papers' code samples it, where anomalib's own is defined a little differently."""

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
    """Area under the per-region overlap curve as the code of AnomalyCLIP, CoPS and VCP-CLIP samples it.

    Evenly spaced thresholds from the smallest score up; the overlap is averaged over all regions (pixels that touch,
    also at corners) of all masks; points with a false positive rate below ``limit`` are kept and their rates stretched
    to [0, 1]. The exact figure, which interpolates at the limit, is ``anomalib.metrics.AUPRO``.

    Args:
        maps: anomaly maps of one category.
        masks: anomalous pixels.
        limit: of the false positive rate.
        thresholds: how many.

    Returns:
        The area, or NaN where it is not defined: constant maps, no region, no normal pixel, or no two points of
        different rate below the limit (the official code raises an error or gives NaN).
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
