"""Labelled images from any source as one anomalib data set."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from anomalib import TaskType
from anomalib.data import AnomalibDataset
from anomalib.data.dataclasses import ImageBatch, ImageItem
from pandas import DataFrame
from torchvision.transforms.v2 import Transform
from torchvision.transforms.v2.functional import to_dtype, to_image
from torchvision.tv_tensors import Mask

from anomalib_cops.data.category_batch import CategoryBatch, CategoryItem
from anomalib_cops.data.image_and_mask import read_image_and_mask
from anomalib_cops.data.masks import MASK_ABOVE
from anomalib_cops.data.sets.samples import mask_values_of
from anomalib_cops.data.synthetic.addresses import draw_address, is_address, write_picture
from anomalib_cops.images.reading import read_image

COLUMNS = (
    *("image_path", "label", "label_index", "mask_path", "split", "set", "category", "masked"),
    *("mask_above", "mask_values"),
)


class LabelledImages(AnomalibDataset):
    """Labelled images: files of any data sets and categories, and synthetic pictures, which are drawn on access.

    Items and batches have one more field than anomalib's, ``category``, which names what each image shows. Collate
    items with ``collate_fn``; anomalib's own ``ImageBatch.collate`` does not know the field.

    Args:
        samples: One row per image, with the columns ``image_path`` (a file or the address of a synthetic picture),
            ``label`` (``good`` or the kind of defect), ``label_index`` (0 normal, 1 anomalous), ``mask_path`` (empty
            without a mask file), ``split``, ``set``, ``category``, ``masked`` (whether the anomalous pixels are known),
            and optionally ``mask_above`` (the grey level of a mask above which a pixel is anomalous, 127 by default)
            and ``mask_values`` (the levels that are anomalous, or "nonzero"; by default ``mask_above`` decides).
        augmentations: Transform of image and mask together.
        home: If given, synthetic pictures are written as files below a folder of this name, and ``image_path`` of an
            item is the file; otherwise it is the address.
    """

    def __init__(self, samples: DataFrame, augmentations: Transform | None = None, home: str | None = None) -> None:
        super().__init__(augmentations=augmentations)
        self.home = home
        self.samples = samples

    # The base class checks that all paths exist, but addresses of synthetic pictures are no files.
    @property
    def samples(self) -> DataFrame:
        """One row per image, sorted by path."""
        return super().samples

    @samples.setter
    def samples(self, samples: DataFrame) -> None:
        if "mask_above" not in samples:
            samples = samples.assign(mask_above=MASK_ABOVE)
        if "mask_values" not in samples:
            samples = samples.assign(mask_values=None)
        self._samples = samples[list(COLUMNS)].sort_values(by="image_path", ignore_index=True)

    @property
    def task(self) -> TaskType:
        """Segmentation if pixels are labelled, else classification."""
        return TaskType.SEGMENTATION if self.samples["masked"].any() else TaskType.CLASSIFICATION

    def __getitem__(self, index: int) -> ImageItem:
        """Read or draw one image: levels in [0, 1] of shape (3, height, width), and a mask of shape (height, width).

        ``gt_mask`` is None if the row is not ``masked``. An anomalous image with an empty mask stays anomalous.

        Raises:
            InputError: A file cannot be read, a mask does not tell which pixels are anomalous, or image and mask do
                not fit.
        """
        row = self.samples.iloc[index]
        levels, anomalous = _read(row)
        path = row.image_path
        if self.home and is_address(path):
            path = write_picture(path, levels, self.home)
        image = to_dtype(to_image(levels), torch.float32, scale=True)
        mask = None if anomalous is None else Mask(torch.from_numpy(anomalous.astype(np.uint8)))
        if self.augmentations and mask is None:
            image = self.augmentations(image)
        elif self.augmentations:
            image, mask = self.augmentations(image, mask)
        return CategoryItem(
            image=image,
            gt_mask=mask,
            gt_label=torch.tensor(int(row.label_index)),
            image_path=path,
            mask_path=row.mask_path,
            category=row.category,
        )

    @property
    def collate_fn(self) -> Callable[[list[ImageItem]], ImageBatch]:
        """Function that makes a batch of items; ``mask_path`` is the empty string for an image without a mask file.

        If only some images of the data set have masks, the batch says in ``masked`` which.
        """
        return _collate_mixed if self.samples["masked"].nunique() > 1 else collate_uniform


def _read(row: Any) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_] | None]:
    """Return levels and anomalous pixels; a normal image has none of these, whatever its mask says."""
    if is_address(row.image_path):
        levels, anomalous = draw_address(row.image_path)
        return levels, anomalous if row.masked else None
    if row.masked and row.mask_path and row.label_index:
        return read_image_and_mask(row.image_path, row.mask_path, int(row.mask_above), mask_values_of(row))
    image = read_image(row.image_path)
    return image, np.zeros(image.shape[:2], np.bool_) if row.masked else None


def collate_uniform(items: list[ImageItem]) -> ImageBatch:
    """Make a batch of items that all have masks, or all have none."""
    batch = CategoryBatch.collate(items)
    assert isinstance(batch, CategoryBatch)
    # anomalib's own collation leaves the list out or fills it with "None", depending on the first item.
    batch.mask_path = [item.mask_path or "" for item in items]
    return batch


def _collate_mixed(items: list[ImageItem]) -> ImageBatch:
    """Make a batch with masks of all images, and note which of them are known."""
    masked = torch.tensor([item.gt_mask is not None for item in items])
    return collate_uniform([_with_mask(item) for item in items]).update(masked=masked)


def _with_mask(item: ImageItem) -> ImageItem:
    """Return an item that has a mask; if it has none, a copy with an empty one, as a subclass may keep the item."""
    if item.gt_mask is not None:
        return item
    assert item.image is not None
    completed: ImageItem = item.update(
        in_place=False, gt_mask=Mask(torch.zeros(item.image.shape[-2:], dtype=torch.uint8))
    )
    return completed
