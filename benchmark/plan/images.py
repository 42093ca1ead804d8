"""Test images of a target: how many, and decoded only once for all methods of a process."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from anomalib.data.dataclasses import ImageItem
from pandas import DataFrame
from torchvision.transforms.v2 import Resize, Transform

from anomalib_cops.data import LabelledImages

CACHE_BYTES = 1 << 30


class ImageCache:
    """Decoded and resized images of one process, until a limit is reached; what came first stays.

    Reading and drawing take about 20 ms per image on one core, in every epoch and row: half as long as all else that
    ``quick`` does.

    Args:
        limit: Bytes.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._free = limit
        self._items: dict[tuple[str, str], ImageItem] = {}

    def get(self, key: tuple[str, str]) -> ImageItem | None:
        """What is kept under a path and a way of resizing."""
        return self._items.get(key)

    def keep(self, key: tuple[str, str], item: ImageItem) -> None:
        """Keep an image if there is room."""
        size = sum(each.nbytes for each in (item.image, item.gt_mask) if each is not None)
        if size <= self._free:
            self._free -= size
            self._items[key] = item


class CachedImages(LabelledImages):
    """Labelled images that are decoded once, if nothing but resizing is done to them.

    Args:
        samples: As of ``LabelledImages``.
        cache: May be shared with other data sets.
        augmentations: As of ``LabelledImages``.
    """

    def __init__(self, samples: DataFrame, cache: ImageCache, augmentations: Transform | None = None) -> None:
        super().__init__(samples, augmentations)
        self._cache = cache

    def __getitem__(self, index: int) -> ImageItem:
        """Reads, draws or remembers one image."""
        if not isinstance(self.augmentations, Resize):
            return super().__getitem__(index)
        key = (str(self.samples.iloc[index].image_path), repr(self.augmentations))
        item = self._cache.get(key)
        if item is None:
            item = super().__getitem__(index)
            self._cache.keep(key, item)
        return item


def capped(samples: DataFrame, limit: int | None) -> DataFrame:
    """At most so many images of a category: of each label half, or what there is, evenly spread over sorted paths."""
    if limit is None or len(samples) <= limit:
        return samples
    ordered = samples.sort_values("image_path")
    groups = [group for _, group in ordered.groupby("label_index")]
    shares = [min(len(group), limit // len(groups)) for group in groups]
    for place, group in enumerate(groups):
        shares[place] = min(len(group), limit - sum(shares) + shares[place])
    chosen = [
        group.iloc[np.linspace(0, len(group) - 1, share).round().astype(int)]
        for group, share in zip(groups, shares, strict=True)
        if share
    ]
    return ordered.loc[sorted(index for part in chosen for index in part.index)]


def digest(samples: DataFrame) -> str:
    """A digest of names, labels and file sizes: another one when images were added, exchanged or relabelled."""
    rows = sorted(
        f"{Path(row.image_path).name}\t{row.label}\t{row.label_index}\t{bool(row.mask_path)}\t{_size(row.image_path)}"
        for row in samples.itertuples()
    )
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:12]


def _size(path: Any) -> int:
    """Bytes; -1 of a picture that is drawn."""
    try:
        return os.path.getsize(path)
    except OSError:
        return -1
