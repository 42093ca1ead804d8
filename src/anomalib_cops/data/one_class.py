"""What a model learns from: ours from normal and anomalous images, most of anomalib's from normal ones alone."""

import copy
import logging
from typing import Any

from anomalib import LearningType

from anomalib_cops.data.dataset import LabelledImages
from anomalib_cops.errors import InputError

logger = logging.getLogger(__name__)


def is_one_class(model: Any) -> bool:
    """Whether anomalies among its training images would teach a model that they are normal.

    A model that does learn from them says so with an attribute ``learns_from_anomalies``.
    """
    kind = getattr(model, "learning_type", None)
    return kind == LearningType.ONE_CLASS and not getattr(model, "learns_from_anomalies", False)


def normal_images_only(images: LabelledImages, model: Any) -> LabelledImages:
    """The normal images alone, and a warning that says so.

    Raises:
        InputError: There are none.
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
    # Not a deep copy: a data set may hold a cache that is shared.
    normal = copy.copy(images)
    normal.samples = kept
    return normal
