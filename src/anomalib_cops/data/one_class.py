"""One-class models: most of anomalib's models learn from normal images alone, ours from normal and anomalous ones."""

import copy
import logging
from typing import Any

from anomalib import LearningType

from anomalib_cops.data.dataset import LabelledImages
from anomalib_cops.errors import InputError

logger = logging.getLogger(__name__)


def is_one_class(model: Any) -> bool:
    """Tell whether a model learns from normal images alone, so that it would take anomalies for normal.

    A one-class model that does learn from anomalous images says so with an attribute ``learns_from_anomalies``.
    """
    learning_type = getattr(model, "learning_type", None)
    return learning_type == LearningType.ONE_CLASS and not getattr(model, "learns_from_anomalies", False)


def normal_images_only(images: LabelledImages, model: Any) -> LabelledImages:
    """Return the normal images, and warn if there are anomalous ones to leave out.

    Raises:
        InputError: There are no normal images.
    """
    samples = images.samples
    kept = samples[samples["label_index"] == 0]
    name = type(model).__name__
    if not len(kept):
        raise InputError(f"{name} learns from normal images, and the source has none; choose another source.")
    if len(kept) < len(samples):
        logger.warning(
            "%s learns from normal images only, so the anomalous ones of the source (%d) are left out of its training; "
            "set learns_from_anomalies = True on a model that does learn from them.",
            *(name, len(samples) - len(kept)),
        )
    # A shallow copy, because a subclass may hold a cache that is shared.
    normal = copy.copy(images)
    normal.samples = kept
    return normal
