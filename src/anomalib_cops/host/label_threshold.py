"""Threshold that turns scores into labels, and whether it was calibrated."""

from typing import Any, NamedTuple

from anomalib.post_processing import PostProcessor

_DEFAULT_SENSITIVITY = 0.5


class LabelThreshold(NamedTuple):
    """Threshold of image scores: an image is labelled anomalous if its score is above ``value``.

    Attributes:
        value: Threshold on the scale of the returned scores, on which the threshold found in training is 0.5.
        calibrated: Whether training found the threshold or the user chose an ``image_sensitivity``.
    """

    value: float
    calibrated: bool

    def __str__(self) -> str:
        """Return the threshold as pictures and messages show it."""
        return f"{self.value:.3g}" if self.calibrated else f"{self.value:g} (not calibrated)"


def label_threshold(model: Any) -> LabelThreshold | None:
    """Return the label threshold of a Lightning module; None if it gives no labels."""
    post_processor = getattr(model, "post_processor", None)
    if not isinstance(post_processor, PostProcessor) or not post_processor.enable_thresholding:
        return None
    is_found = post_processor.enable_normalization and not bool(post_processor.image_threshold.isnan())
    return LabelThreshold(
        float(post_processor.normalized_image_threshold),
        is_found or post_processor.image_sensitivity != _DEFAULT_SENSITIVITY,
    )
