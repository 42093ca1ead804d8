"""Find the thresholds of a Lightning module, and whether they were calibrated."""

from typing import Any

from anomalib.post_processing import PostProcessor

from anomalib_cops.thresholds import NOBODY, LabelThreshold, Thresholds

_DEFAULT_SENSITIVITY = 0.5


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
        origin = NOBODY
    return LabelThreshold(float(post_processor.normalized_image_threshold), is_found or is_chosen, origin)


def thresholds_of(model: Any) -> Thresholds:
    """Return the thresholds of a Lightning module for images and for pixels, where 0.5 stands for an unknown one."""
    label = label_threshold(model)
    pixel = float(getattr(model.post_processor, "normalized_pixel_threshold", 0.5))
    return Thresholds(None, pixel) if label is None else Thresholds(label.value, pixel, label.calibrated, label.origin)
