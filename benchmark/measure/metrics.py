"""Exact figures of one category from raw scores and maps: image and pixel AUROC, AP and F1-max, and AUPRO.

``score`` is all that the harness asks for. It takes scikit-learn's curves, on all pixels of a category at once.
``anomalib.metrics.AUPRO`` is exact in design as well, but sums millions of shares in float32; here the overlap of
regions is scikit-learn's weighted ROC curve in float64.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy import ndimage
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

FPR_LIMIT = 0.3
"""Of AUPRO in the papers (Bergmann et al. 2021)."""


@dataclass(frozen=True)
class Predictions:
    """What a model said about the images of one category.

    Attributes:
        scores: One per image.
        labels: 1 where an image is anomalous.
        maps: Anomaly maps; None where the model makes none, or pixels are not labelled.
        masks: Anomalous pixels, None where pixels are not labelled.
    """

    scores: Float[np.ndarray, " batch"]
    labels: Integer[np.ndarray, " batch"]
    maps: Float[np.ndarray, "batch height width"] | None = None
    masks: Bool[np.ndarray, "batch height width"] | None = None


def score(predictions: Predictions) -> dict[str, float]:
    """All figures that the labels allow, by name; those that they do not allow are not there.

    Image figures need normal and anomalous images, pixel figures normal and anomalous pixels.
    """
    figures = _ranking("I-", predictions.labels, predictions.scores)
    if predictions.maps is not None and predictions.masks is not None:
        figures |= _ranking("P-", predictions.masks.ravel(), predictions.maps.ravel())
        overlap = aupro(predictions.maps, predictions.masks)
        if overlap is not None:
            figures["AUPRO"] = overlap
    return figures


def _ranking(prefix: str, labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    if labels.min() == labels.max():
        return {}
    metrics: dict[str, Callable[..., float]] = {
        "AUROC": roc_auc_score,
        "AP": average_precision_score,
        "F1max": f1_max,
    }
    return {prefix + name: float(metric(labels, scores)) for name, metric in metrics.items()}


def f1_max(labels: Integer[np.ndarray, " samples"] | Bool[np.ndarray, " samples"], scores: np.ndarray) -> float:
    """The best F1 over all thresholds."""
    precision, recall, _ = precision_recall_curve(labels, scores)
    total = precision + recall
    return float(np.max(2 * precision * recall / np.where(total > 0, total, 1)))


def aupro(
    maps: Float[np.ndarray, "batch height width"],
    masks: Bool[np.ndarray, "batch height width"],
    limit: float = FPR_LIMIT,
) -> float | None:
    """Area under the per-region overlap curve up to a false positive rate, as a share of that rate.

    The mean overlap over regions (anomalous pixels that touch, also at corners) is the true positive rate if every
    pixel weighs one over the size of its region. The curve is cut at the limit by linear interpolation.

    Args:
        maps: Anomaly maps of one category.
        masks: Anomalous pixels.
        limit: In (0, 1].

    Returns:
        In [0, 1]; None without anomalous or without normal pixels.
    """
    if masks.all() or not masks.any():
        return None
    weights = np.concatenate([_weights(mask).ravel() for mask in masks])
    rate, overlap, _ = roc_curve(masks.ravel(), maps.ravel(), sample_weight=weights, drop_intermediate=False)
    kept = rate < limit
    at_limit = np.interp(limit, rate, overlap)
    return float(auc(np.append(rate[kept], limit), np.append(overlap[kept], at_limit)) / limit)


def _weights(mask: Bool[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """1 for a normal pixel, one over the size of its region for an anomalous one."""
    regions, count = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(regions.ravel(), minlength=count + 1).astype(np.float64)
    sizes[0] = 1
    return 1 / sizes[regions]
