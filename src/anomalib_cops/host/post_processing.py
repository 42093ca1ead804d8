"""Turn scores into labels without changing their order and without the target's labels."""

from typing import Any

import torch
from anomalib.data import ImageBatch
from anomalib.post_processing import PostProcessor
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from anomalib_cops.precision import KeepsPrecision
from anomalib_cops.weights.target import Calibration

PIXEL_STRIDE = 4


class TransferPostProcessor(KeepsPrecision, PostProcessor):
    """Take thresholds from the held-out part of the auxiliary set during training, and from nowhere else.

    anomalib's own post-processor stretches scores by the extremes of the validation set and clips the rest. On a target
    whose scores lie elsewhere that ruins the ranking. It also collects thresholds in every validation loop, which for a
    zero-shot model runs over the target. Here a strictly increasing map of [0, 1] onto itself moves the threshold to
    0.5. Nothing is clipped, so ranking metrics are those of the raw scores.

    Attributes:
        calibration: where calibrated thresholds come from; None if they were not calibrated.
    """

    calibration: Calibration | None = None

    @property
    def thresholds(self) -> tuple[Tensor, Tensor]:
        """Thresholds of raw image scores and of raw pixels; NaN for none."""
        return self._image_threshold, self._pixel_threshold

    def set_thresholds(self, image: float | None, pixel: float | None, calibration: Calibration | None) -> None:
        """Set both thresholds of raw scores; None for none."""
        for threshold, value in zip(self.thresholds, (image, pixel), strict=True):
            threshold.fill_(float("nan") if value is None else value)
        self.calibration = calibration

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Collect scores for the thresholds during training; of pixels every fourth, as maps are smooth."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        self._image_threshold_metric.update(outputs)
        if outputs.gt_mask is not None:
            thin = slice(None), slice(None, None, PIXEL_STRIDE), slice(None, None, PIXEL_STRIDE)
            pixels = ImageBatch(
                image=outputs.image, anomaly_map=outputs.anomaly_map[thin], gt_mask=outputs.gt_mask[thin]
            )
            self._pixel_threshold_metric.update(pixels)

    @staticmethod
    def _normalize(preds: Tensor | None, norm_min: Tensor, norm_max: Tensor, threshold: Tensor) -> Tensor | None:
        """Map 0, the threshold and 1 to 0, 0.5 and 1, linearly in between; change nothing without a threshold."""
        if preds is None:
            return None
        threshold = torch.where(torch.isnan(threshold), 0.5, threshold).clamp(1e-6, 1 - 1e-6)
        below = 0.5 * preds / threshold
        above = 0.5 + 0.5 * (preds - threshold) / (1 - threshold)
        return torch.where(preds < threshold, below, above)
