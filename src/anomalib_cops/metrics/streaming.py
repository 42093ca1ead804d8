"""Pixel metrics that need the same memory for any number of maps; otherwise like anomalib's metrics of the same names.

anomalib's metrics keep all pixels and sort them at the end, which takes about 60 bytes per pixel and metric. These
count pixels in bins of their score. A bin is a small step of the log odds, so it separates scores near 0 and near 1 as
well as in between. The results agree with those of all pixels to 1e-4, and usually to 1e-6.
"""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from anomalib.data import Batch
from anomalib.metrics import AnomalibMetric
from jaxtyping import Bool, Float, Int, Shaped
from scipy import ndimage
from torch import Tensor
from torchmetrics import Metric

from anomalib_cops.errors import InputError
from anomalib_cops.precision import KeepsPrecision

BINS = 2**22
LOG_ODDS = (-30.0, 17.0)
"""Range of the log odds: from scores of 1e-13, below which all are in one bin, to the largest float32 below 1."""

ROUNDING = 1e-5
"""Distance by which smoothed scores may exceed [0, 1]."""

Curve = tuple[Float[Tensor, " thresholds"], Float[Tensor, " thresholds"]]
"""Numbers of anomalous and of normal pixels at or above each threshold, from the highest threshold down."""


class PixelCounts(KeepsPrecision, Metric):
    """Base class of metrics that are computed from a curve with every bin as a threshold.

    Maps have scores in [0, 1] and the shape (batch, height, width); masks have the same shape and are 0 where normal.
    Batches may differ in size. The states are sums in float64, so several processes may share a data set. The value is
    None if there are no anomalous or no normal pixels.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = True
    normal: Tensor
    anomalous: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("normal", "anomalous"):
            # One zero stands for all bins until pixels are counted, so that a model that only predicts holds no bins.
            self.add_state(name, torch.zeros(1, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, preds: Float[Tensor, "batch height width"], target: Shaped[Tensor, "batch height width"]) -> None:
        """Count the pixels of a batch.

        Raises:
            InputError: A score is NaN or not in [0, 1].
        """
        self._make_bins()
        one = self.normal.new_ones(1)
        # Map by map, to save memory. Count all pixels as normal first, then correct the few anomalous ones.
        for scores, mask in zip(preds, target > 0, strict=True):
            bins = bin_numbers(scores)
            self.normal.scatter_add_(0, bins.flatten(), one.expand(bins.numel()))
            bins = bins[mask]
            self.normal.scatter_add_(0, bins, -one.expand(len(bins)))
            self.anomalous.scatter_add_(0, bins, self.weights(mask))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Add up the counts of all processes; a process that has seen no pixels makes its bins first."""
        self._make_bins()
        super().sync(*args, **kwargs)

    def pack(self) -> None:
        """Store only the bins that have counts, until more pixels are counted or the value is computed."""
        self.normal, self.anomalous = (
            counts.to_sparse() if len(counts) == BINS else counts for counts in (self.normal, self.anomalous)
        )

    def _make_bins(self) -> None:
        self.normal, self.anomalous = (
            counts.to_dense() if counts.is_sparse else counts if len(counts) == BINS else counts.expand(BINS).clone()
            for counts in (self.normal, self.anomalous)
        )

    def compute(self) -> Float[Tensor, ""] | None:
        """Compute the metric of all pixels so far, in [0, 1]; None if it is not defined."""
        self._make_bins()
        reached = (self.normal + self.anomalous) > 0
        # On the CPU: on a GPU, cumulative sums are not reproducible, and deterministic=True forbids them.
        true, false = (counts[reached].flip(0).cpu().cumsum(0) for counts in (self.anomalous, self.normal))
        if not reached.any() or not true[-1] or not false[-1]:
            return None
        return self.figure((true, false)).float().to(self.normal.device)

    def weights(self, mask: Bool[Tensor, "height width"]) -> Float[Tensor, " anomalous"]:
        """Return the weight of each anomalous pixel, in row-major order."""
        return self.anomalous.new_ones(int(mask.sum()))

    @abstractmethod
    def figure(self, curve: Curve) -> Float[Tensor, ""]:
        """Compute the metric from a curve with anomalous and normal pixels."""


class StreamingMetric(AnomalibMetric, PixelCounts):
    """Metric that takes batches of anomalib; batches without masks are ignored."""

    def update(self, batch: Batch) -> None:  # type: ignore[override] # as in the host
        """Count the pixels of a batch."""
        if getattr(batch, self.fields[1]) is not None:
            super().update(batch)


class AUROC(StreamingMetric):
    """Area under the ROC curve."""

    def figure(self, curve: Curve) -> Float[Tensor, ""]:
        """Sum trapezoids, so that a normal and an anomalous pixel of equal score count one half."""
        true, false = curve
        return area(false / false[-1], true / true[-1])


class AUPR(StreamingMetric):
    """Average precision as scikit-learn defines it: a sum over steps of the recall, without interpolation."""

    def figure(self, curve: Curve) -> Float[Tensor, ""]:
        """Sum the precision times the step of the recall."""
        true, false = curve
        return (true.diff(prepend=true.new_zeros(1)) * true / (true + false)).sum() / true[-1]


class F1Max(StreamingMetric):
    """Largest F1 score over all thresholds."""

    def figure(self, curve: Curve) -> Float[Tensor, ""]:
        """Return the largest F1 score on the curve."""
        true, false = curve
        return (2 * true / (true + false + true[-1])).amax()


class AUPRO(StreamingMetric):
    """Area under the per-region overlap curve (Bergmann et al., IJCV 2021) up to a false positive rate.

    A region is a set of anomalous pixels that touch, also at corners. All regions have the same weight, so the weight
    of a pixel is one over the size of its region.

    Args:
        fpr_limit: False positive rate at which the curve is cut, by linear interpolation; in (0, 1].
        **kwargs: As for all metrics of anomalib and torchmetrics.
    """

    def __init__(self, fpr_limit: float = 0.3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fpr_limit = fpr_limit

    def weights(self, mask: Bool[Tensor, "height width"]) -> Float[Tensor, " anomalous"]:
        """Return one over the size of the region of each anomalous pixel."""
        if not mask.any():
            return self.anomalous.new_empty(0)
        labels, count = ndimage.label(mask.cpu().numpy(), structure=np.ones((3, 3)))
        regions = torch.from_numpy(labels).to(mask.device)[mask].long()
        return 1 / torch.bincount(regions, minlength=count + 1).double()[regions]

    def figure(self, curve: Curve) -> Float[Tensor, ""]:
        """Compute the area up to the limit, divided by the limit."""
        true, false = curve
        start = true.new_zeros(1)
        rate, overlap = torch.cat([start, false / false[-1]]), torch.cat([start, true / true[-1]])
        beyond = int((rate < self.fpr_limit).sum())
        share = (self.fpr_limit - rate[beyond - 1]) / (rate[beyond] - rate[beyond - 1])
        rate, overlap = rate[: beyond + 1].clone(), overlap[: beyond + 1].clone()
        rate[-1], overlap[-1] = self.fpr_limit, torch.lerp(overlap[-2], overlap[-1], share)
        return torch.trapezoid(overlap, rate) / self.fpr_limit


def area(x: Float[Tensor, " thresholds"], y: Float[Tensor, " thresholds"]) -> Float[Tensor, ""]:
    """Compute the area under a curve that begins at the origin."""
    return torch.trapezoid(torch.cat([y.new_zeros(1), y]), torch.cat([x.new_zeros(1), x]))


def bin_numbers(scores: Float[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Return the bin of each score, from 0 to ``BINS - 1``.

    Raises:
        InputError: A score is NaN or not in [0, 1].
    """
    scores = scores.float()
    least, most = scores.aminmax()
    if not (least >= -ROUNDING and most <= 1 + ROUNDING):  # NaN is neither
        raise InputError("Streaming pixel metrics need anomaly maps in [0, 1], without NaN; use metrics of anomalib.")
    low, high = LOG_ODDS
    scores = scores.clamp(0, 1)
    log_odds = (scores / (1 - scores)).log_().clamp_(low, high)
    return log_odds.sub_(low).mul_((BINS - 1) / (high - low)).long()
