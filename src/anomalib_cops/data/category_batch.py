"""anomalib's items and batches of images with two more fields: the category of each image, and whether it has a mask.

A model that reads sentences about an image needs its category. With this field the name travels from the data set to
the model, through collation, iteration and moves to a device, like all other fields of anomalib's dataclasses.

anomalib's batches have a mask of every image or none at all. In a batch that mixes images with and without masks, the
latter have one without anomalous pixels, which means nothing; the field ``masked`` tells them from normal images.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from anomalib.data.dataclasses import ImageBatch, ImageItem, NumpyImageBatch, NumpyImageItem
from jaxtyping import Bool
from torch import Tensor

from anomalib_cops.distributed import place
from anomalib_cops.errors import InputError


@dataclass
class NumpyCategoryItem(NumpyImageItem):
    """A numpy image with its category."""

    category: str | None = None
    masked: np.bool_ | None = None


@dataclass
class NumpyCategoryBatch(NumpyImageBatch):
    """A batch of numpy images with their categories."""

    item_class: ClassVar[type[NumpyImageItem]] = NumpyCategoryItem
    category: list[str] | None = None
    masked: npt.NDArray[np.bool_] | None = None


@dataclass
class CategoryItem(ImageItem):
    """An image with its category.

    Attributes:
        category: Name of what the image shows; None if it is not known.
        masked: Whether ``gt_mask`` is known, of an item of a batch that mixes images with and without masks; else None.
    """

    numpy_class: ClassVar[type[NumpyImageItem]] = NumpyCategoryItem
    category: str | None = None
    masked: Tensor | None = None


@dataclass
class CategoryBatch(ImageBatch):
    """A batch of images with their categories.

    Attributes:
        category: Name of what each image shows, one per image; None if the names are not known.
        masked: Whether the mask of each image is known, (batch) of bool, if the data set has images with and without
            masks; None if it has one kind only, which ``gt_mask`` tells.
    """

    item_class: ClassVar[type[ImageItem]] = CategoryItem
    numpy_class: ClassVar[type[NumpyImageBatch]] = NumpyCategoryBatch
    category: list[str] | None = None
    masked: Tensor | None = None


def known_masks(batch: Any) -> Bool[Tensor, " batch"] | None:
    """Return whether the mask of each image of a batch is known; None if all are.

    With several processes, the result is None in all of them or in none.
    """
    masked: Tensor | None = getattr(batch, "masked", None)
    if masked is None:
        return None if batch.gt_mask is not None else torch.zeros_like(batch.gt_label, dtype=torch.bool)
    return None if place()[1] == 1 and masked.all() else masked


def refuse_mixture(batch: Any) -> None:
    """Refuse to evaluate a batch with empty masks of images whose masks are not known.

    Raises:
        InputError: The batch has such masks, which metrics and thresholds of pixels would take for true.
    """
    masked: Tensor | None = getattr(batch, "masked", None)
    if masked is not None and not masked.all():
        raise InputError(
            "A batch to evaluate holds images without masks among others; evaluate them in batches of their own, as "
            "the loaders of ZeroShotTransfer do."
        )


def check_levels(batch: Any) -> None:
    """Refuse images with NaN or infinite levels, which would spoil the prompts or give meaningless scores.

    Raises:
        InputError: naming the file.
    """
    # A sum is not finite if a level is not; it takes a tenth of the time of looking at each of them.
    if torch.isfinite(batch.image.float().sum()):
        return
    sound = torch.isfinite(batch.image).flatten(1).all(dim=1)
    if not sound.all():
        row = int(sound.int().argmin())
        name = batch.image_path[row] if batch.image_path else f"Image {row + 1} of a batch"
        raise InputError(f"{name} holds NaN or infinite levels; remove or replace it.")
