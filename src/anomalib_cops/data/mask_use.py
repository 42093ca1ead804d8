"""Use of a source's masks: all that there are, also those of some images only, or none."""

import copy
import logging
from typing import Any

from anomalib import TaskType
from pandas import DataFrame

from anomalib_cops.data.dataset import LabelledImages
from anomalib_cops.data.sets.samples import MASK_USES, MaskUse, abbreviate
from anomalib_cops.data.synthetic.addresses import is_address
from anomalib_cops.errors import InputError, nearest

logger = logging.getLogger(__name__)


def parse_mask_use(value: Any) -> MaskUse:
    """Return a user's choice.

    Raises:
        InputError: There is no such choice.
    """
    if value not in MASK_USES:
        raise InputError(f"masks={value} is unknown{nearest(str(value), MASK_USES)}")
    choice: MaskUse = value
    return choice


def with_mask_use(samples: DataFrame, use: MaskUse) -> DataFrame:
    """Return a table of samples in which ``masked`` is true of the images alone whose masks are used.

    Args:
        samples: Table of samples, in which anomalous images of a category with masks may have none.
        use: "auto": as the table says; "some": of anomalous images that have one, and of the normal ones beside them;
            "none": no mask.
    """
    if use == "auto":
        return samples
    if use == "none":
        return samples.assign(masked=False, mask_path="")
    missing = (samples["label_index"] == 1) & (samples["mask_path"] == "") & ~samples["image_path"].map(is_address)
    return samples.assign(masked=samples["masked"] & ~missing)


def report_missing_masks(source: DataFrame, use: str) -> None:
    """Log which images of a source train without masks, as a warning unless the user has asked for it.

    Args:
        source: Table of samples.
        use: What the user has chosen, one of ``MASK_USES``.
    """
    names = []
    for (data, category), group in source.groupby(["set", "category"]):
        anomalous = group[group["label_index"] == 1]
        if not group["masked"].any():
            names.append(f"{data}/{category}")
        elif not anomalous["masked"].all():
            names.append(f"{data}/{category} ({(~anomalous['masked']).sum()} of {len(anomalous)} anomalous images)")
    if names:
        logger.log(
            logging.INFO if use == "none" else logging.WARNING,
            "No masks are used of %s: these images train by their labels alone, and take no part in losses, thresholds "
            "and metrics of pixels.",
            abbreviate(names, at_most=12),
        )


def has_masks(images: Any) -> bool:
    """Tell whether any image of a data set of anomalib or of ours has a mask; True if the data set does not say."""
    samples: Any = getattr(images, "samples", None)
    if "masked" in getattr(samples, "columns", ()):
        return bool(samples["masked"].any())
    return getattr(samples, "attrs", {}).get("task") != TaskType.CLASSIFICATION


def masked_images_only(images: LabelledImages, model: Any) -> LabelledImages:
    """Return the training images with masks alone, with a warning, if a model cannot learn from a mixture.

    A model that learns from the labels of the others says so with an attribute ``learns_from_labels``.

    Args:
        images: All training images. They are returned as they are if all or none of them have masks.
        model: The model; None if it is not known.
    """
    samples: DataFrame = images.samples
    masked = samples["masked"]
    if model is None or getattr(model, "learns_from_labels", False) or masked.all() or not masked.any():
        return images
    logger.warning(
        "%s learns from masks, so the images of the source without one (%d) are left out of its training.",
        *(type(model).__name__, (~masked).sum()),
    )
    # A shallow copy, because a subclass may hold a cache that is shared.
    kept = copy.copy(images)
    kept.samples = samples[masked]
    return kept
