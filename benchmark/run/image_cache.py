"""Decode each image once for all methods that a process tests."""

from anomalib.data.dataclasses import ImageItem
from pandas import DataFrame
from torchvision.transforms.v2 import Resize, Transform

from anomalib_cops.data import LabelledImages

CACHE_BYTES = 1 << 30


class ImageCache:
    """Keep decoded and resized images of one process until a limit is reached; the first images stay.

    Reading or drawing an image takes about 20 ms on one core, in every epoch and for every method: half as long as
    everything else that ``quick`` does.

    Args:
        limit: Size of all kept images and masks in bytes.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._free = limit
        self._items: dict[tuple[str, str], ImageItem] = {}

    def get(self, key: tuple[str, str]) -> ImageItem | None:
        """Return the image kept under a path and a description of its resizing, or None."""
        return self._items.get(key)

    def keep(self, key: tuple[str, str], item: ImageItem) -> None:
        """Keep an image if there is room."""
        size = sum(each.nbytes for each in (item.image, item.gt_mask) if each is not None)
        if size <= self._free:
            self._free -= size
            self._items[key] = item


class CachedImages(LabelledImages):
    """Labelled images that are decoded once if they are resized and not augmented otherwise.

    Args:
        samples: Images as ``LabelledImages`` takes them.
        cache: Where decoded images are kept; several data sets may share it.
        augmentations: Transform as ``LabelledImages`` takes it.
    """

    def __init__(self, samples: DataFrame, cache: ImageCache, augmentations: Transform | None = None) -> None:
        super().__init__(samples, augmentations)
        self._cache = cache

    def __getitem__(self, index: int) -> ImageItem:
        """Read or draw one image, or take it from the cache."""
        if not isinstance(self.augmentations, Resize):
            return super().__getitem__(index)
        key = (str(self.samples.iloc[index].image_path), repr(self.augmentations))
        item = self._cache.get(key)
        if item is None:
            item = super().__getitem__(index)
            self._cache.keep(key, item)
        return item
