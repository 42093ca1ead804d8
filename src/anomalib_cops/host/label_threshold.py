"""Threshold that turns scores into labels, and whether it was calibrated."""

from typing import Any, NamedTuple

from anomalib.post_processing import PostProcessor

_DEFAULT_SENSITIVITY = 0.5


class LabelThreshold(NamedTuple):
    """Threshold of image scores: an image is labelled anomalous if its score is above ``value``.

    Attributes:
        value: Threshold on the scale of the returned scores, on which a threshold that was found is 0.5.
        calibrated: Whether the threshold was found or chosen by somebody.
        origin: Where it comes from, as the end of a sentence.
    """

    value: float
    calibrated: bool
    origin: str = ""

    def __str__(self) -> str:
        """Return the threshold as pictures and messages show it."""
        return f"{self.value:.3g}" if self.calibrated else f"{self.value:g} (not calibrated)"


def label_threshold(model: Any) -> LabelThreshold | None:
    """Return the label threshold of a Lightning module; None if it gives no labels."""
    post_processor = getattr(model, "post_processor", None)
    if not isinstance(post_processor, PostProcessor) or not post_processor.enable_thresholding:
        return None
    is_found = post_processor.enable_normalization and not bool(post_processor.image_threshold.isnan())
    is_chosen = post_processor.image_sensitivity != _DEFAULT_SENSITIVITY
    calibration = getattr(post_processor, "calibration", None)
    if is_chosen:
        origin = f"chosen by image_sensitivity={post_processor.image_sensitivity:g}"
    elif is_found:
        origin = f"for {calibration}" if calibration else "found on held-out images of the auxiliary set"
    else:
        origin = "which nobody calibrated"
    return LabelThreshold(float(post_processor.normalized_image_threshold), is_found or is_chosen, origin)
