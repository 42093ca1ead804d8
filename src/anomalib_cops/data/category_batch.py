"""anomalib's items and batches of images with one more field: the category that each image shows.

A model that reads sentences about an image needs its category. With this field the name travels from the data set to
the model, through collation, iteration and moves to a device, like all other fields of anomalib's dataclasses.
"""

from dataclasses import dataclass
from typing import ClassVar

from anomalib.data.dataclasses import ImageBatch, ImageItem, NumpyImageBatch, NumpyImageItem


@dataclass
class NumpyCategoryItem(NumpyImageItem):
    """A numpy image with its category."""

    category: str | None = None


@dataclass
class NumpyCategoryBatch(NumpyImageBatch):
    """A batch of numpy images with their categories."""

    item_class: ClassVar[type[NumpyImageItem]] = NumpyCategoryItem
    category: list[str] | None = None


@dataclass
class CategoryItem(ImageItem):
    """An image with its category.

    Attributes:
        category: Name of what the image shows; None if it is not known.
    """

    numpy_class: ClassVar[type[NumpyImageItem]] = NumpyCategoryItem
    category: str | None = None


@dataclass
class CategoryBatch(ImageBatch):
    """A batch of images with their categories.

    Attributes:
        category: Name of what each image shows, one per image; None if the names are not known.
    """

    item_class: ClassVar[type[ImageItem]] = CategoryItem
    numpy_class: ClassVar[type[NumpyImageBatch]] = NumpyCategoryBatch
    category: list[str] | None = None
