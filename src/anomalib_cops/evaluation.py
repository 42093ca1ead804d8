"""The figures that papers report, left out where a data set's labels do not allow them."""

from typing import Any

import anomalib.metrics as host
import torch
from anomalib.data import Batch
from anomalib.metrics import Evaluator
from anomalib.metrics.base import AnomalibMetric
from torch import Tensor
from torchmetrics import Metric

from anomalib_cops.metrics import streaming


class WhereDefined:
    """Mixed in front of a metric of anomalib: no figure, rather than a made-up one, where the labels allow none.

    Several medical sets have no normal images. Metrics of pixels are streaming ones, which do the same by themselves.
    """

    labels: Tensor
    fields: tuple[str, str]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.add_state("labels", default=torch.zeros(2, dtype=torch.long), dist_reduce_fx="sum")  # type: ignore[attr-defined]

    def update(self, batch: Batch) -> None:
        """Count the labels, then pass the batch on; a batch without labels changes nothing."""
        target = getattr(batch, self.fields[1])
        if target is not None:
            self.labels += torch.bincount(target.flatten().long(), minlength=2).to(self.labels)
            super().update(batch)  # type: ignore[misc]

    def compute(self) -> Tensor | None:
        """The figure, or none."""
        return super().compute() if bool((self.labels > 0).all()) else None  # type: ignore[misc]

    def reset(self) -> None:
        """Forget everything; F1Max does not pass this on to torchmetrics."""
        super().reset()  # type: ignore[misc]
        Metric.reset(self)  # type: ignore[arg-type]


class AUROC(WhereDefined, host.AUROC):  # type: ignore[misc]
    """Area under the ROC curve."""


class AUPR(WhereDefined, host.AUPR):  # type: ignore[misc]
    """Average precision."""


class F1Max(WhereDefined, host.F1Max):  # type: ignore[misc]
    """Best F1 score over all thresholds."""


def paper_evaluator() -> Evaluator:
    """AUROC, AP and F1-max of images, and AUROC, AP and AUPRO of pixels in fixed memory, on the test data."""
    image, pixel = ["pred_score", "gt_label"], ["anomaly_map", "gt_mask"]
    metrics: list[AnomalibMetric] = [metric(fields=image, prefix="image_") for metric in (AUROC, AUPR, F1Max)]
    metrics += [metric(fields=pixel, prefix="pixel_") for metric in (streaming.AUROC, streaming.AUPR, streaming.AUPRO)]
    return Evaluator(test_metrics=metrics)
