"""Compute exact figures of one category from raw scores and maps: image and pixel AUROC, AP and F1-max, and AUPRO.

All of them are made from scikit-learn's curves over all pixels of a category at once. ``anomalib.metrics.AUPRO`` is
exact in design as well, but sums millions of shares in float32; here the overlap of regions is scikit-learn's weighted
ROC curve in float64.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy import ndimage
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from .outputs import Predictions

FPR_LIMIT = 0.3
"""False positive rate up to which the papers compute AUPRO (Bergmann et al. 2021)."""


def score(predictions: Predictions) -> dict[str, float]:
    """Compute all metrics that the labels allow.

    Image metrics need normal and anomalous images, pixel metrics normal and anomalous pixels.

    Returns:
        Values in [0, 1] by name of the metric.
    """
    figures = _ranking_metrics("I-", predictions.labels, predictions.scores)
    if predictions.maps is not None and predictions.masks is not None:
        figures |= _ranking_metrics("P-", predictions.masks.ravel(), predictions.maps.ravel())
        overlap = aupro(predictions.maps, predictions.masks)
        if overlap is not None:
            figures["AUPRO"] = overlap
    return figures


def _ranking_metrics(prefix: str, labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Compute AUROC, AP and F1-max of images or pixels; nothing if all of them have the same label."""
    if labels.min() == labels.max():
        return {}
    metrics: dict[str, Callable[..., float]] = {
        "AUROC": roc_auc_score,
        "AP": average_precision_score,
        "F1max": f1_max,
    }
    return {prefix + name: float(metric(labels, scores)) for name, metric in metrics.items()}


def at_threshold(predictions: Predictions, threshold: float) -> dict[str, float]:
    """Compute the shares of normal and of anomalous images that are labelled anomalous: score above the threshold.

    Args:
        predictions: Scores and labels of one category.
        threshold: The model's own threshold, on the scale of the scores.

    Returns:
        ``false_alarm_rate`` if there are normal images, ``recall`` if there are anomalous ones; both in [0, 1].
    """
    labelled = predictions.scores > threshold
    shares = {"false_alarm_rate": labelled[predictions.labels == 0], "recall": labelled[predictions.labels == 1]}
    return {name: float(images.mean()) for name, images in shares.items() if images.size}


def f1_max(labels: Integer[np.ndarray, " samples"] | Bool[np.ndarray, " samples"], scores: np.ndarray) -> float:
    """Return the largest F1 over all thresholds, in [0, 1]."""
    precision, recall, _ = precision_recall_curve(labels, scores)
    total = precision + recall
    return float(np.max(2 * precision * recall / np.where(total > 0, total, 1)))


def aupro(
    maps: Float[np.ndarray, "batch height width"],
    masks: Bool[np.ndarray, "batch height width"],
    limit: float = FPR_LIMIT,
) -> float | None:
    """Compute the area under the per-region overlap curve up to a false positive rate, as a share of that rate.

    The mean overlap over regions (anomalous pixels that touch, also at corners) is the true positive rate if every
    pixel weighs one over the size of its region. The curve is cut at the limit by linear interpolation.

    Args:
        maps: Anomaly maps of one category.
        masks: True for anomalous pixels.
        limit: Largest false positive rate, in (0, 1].

    Returns:
        A value in [0, 1]; None if all pixels are normal or all are anomalous.
    """
    if masks.all() or not masks.any():
        return None
    weights = np.concatenate([_weights(mask).ravel() for mask in masks])
    rate, overlap, _ = roc_curve(masks.ravel(), maps.ravel(), sample_weight=weights, drop_intermediate=False)
    kept = rate < limit
    at_limit = np.interp(limit, rate, overlap)
    return float(auc(np.append(rate[kept], limit), np.append(overlap[kept], at_limit)) / limit)


def _weights(mask: Bool[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """Weigh pixels: 1 for a normal pixel, one over the size of its region for an anomalous one."""
    regions, count = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(regions.ravel(), minlength=count + 1).astype(np.float64)
    sizes[0] = 1
    return 1 / sizes[regions]
