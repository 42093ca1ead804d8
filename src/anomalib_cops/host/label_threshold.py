"""The threshold behind a label: what it is, and whether anything speaks for it."""

from typing import Any, NamedTuple

from anomalib.post_processing import PostProcessor

_EVEN = 0.5


class LabelThreshold(NamedTuple):
    """An image is labelled anomalous where its score is above ``value``.

    Attributes:
        value: in units of the scores that come out, which are bent so that the threshold that training found is 0.5.
        calibrated: whether it was found in training, or chosen by a ``image_sensitivity``.
    """

    value: float
    calibrated: bool

    def __str__(self) -> str:
        """The threshold as pictures and sentences show it."""
        return f"{self.value:.3g}" if self.calibrated else f"{self.value:g} (not calibrated)"


def label_threshold(model: Any) -> LabelThreshold | None:
    """The threshold of a Lightning module's labels; none where it gives no labels."""
    post_processor = getattr(model, "post_processor", None)
    if not isinstance(post_processor, PostProcessor) or not post_processor.enable_thresholding:
        return None
    found = post_processor.enable_normalization and not bool(post_processor.image_threshold.isnan())
    return LabelThreshold(
        float(post_processor.normalized_image_threshold), found or post_processor.image_sensitivity != _EVEN
    )
