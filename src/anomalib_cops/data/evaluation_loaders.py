"""Loaders of images to evaluate, of which no batch mixes images with and without masks, as metrics take all or none."""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, SequentialSampler

from anomalib_cops.data.dataset import LabelledImages, collate_uniform
from anomalib_cops.distributed import Share, place


class UniformBatches(LabelledImages):
    """Batches of images, first of those with masks, then of those without.

    The batches are the items of this data set, because anomalib's callbacks take one loader of validation images only.
    With several processes, each gets its share of either kind, as all of them have to take part in every metric. Where
    the images of a kind cannot be divided equally, some are repeated, as torch's ``DistributedSampler`` does.

    Args:
        images: All images.
        batch_size: Number of images in a batch.
        collate: Makes a batch of images that all have masks, or all have none.
    """

    def __init__(self, images: LabelledImages, batch_size: int, collate: Callable[[Any], Any]) -> None:
        super().__init__(images.samples, images.augmentations, images.home)
        self._images = images
        self._collate = collate
        masked = self.samples["masked"].to_numpy(bool)
        rank, processes = place()
        self._rows: list[list[int]] = []
        for rows in (np.flatnonzero(masked), np.flatnonzero(~masked)):
            share = np.resize(rows, -(-len(rows) // processes) * processes)[rank::processes].tolist()
            self._rows += [share[start : start + batch_size] for start in range(0, len(share), batch_size)]

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._rows)

    def __getitem__(self, index: int) -> Any:
        """Read or draw the images of a batch."""
        return self._collate([self._images[row] for row in self._rows[index]])


def uniform_loader(
    images: LabelledImages, batch_size: int, num_workers: int, collate: Callable[[Any], Any] | None
) -> DataLoader[Any]:
    """Return one loader of data of which only some images have masks.

    Args:
        images: The images.
        batch_size: Number of images in a batch.
        num_workers: Number of processes that read images.
        collate: Makes a batch of items; by default as ``LabelledImages`` does.
    """
    batches = UniformBatches(images, batch_size, collate or collate_uniform)
    # Lightning shares out the items of a data set among processes, except for those of such a sampler.
    every_item = Share(SequentialSampler(batches), rank=0, processes=1)
    return DataLoader(batches, batch_size=None, sampler=every_item, num_workers=num_workers)


def loaders_apart(
    images: LabelledImages, batch_size: int, num_workers: int, collate: Callable[[Any], Any] | None, home: str | None
) -> list[DataLoader[Any]]:
    """Return a loader of the images with masks and one of those without, as far as there are any.

    Args:
        images: The images.
        batch_size: Number of images in a batch.
        num_workers: Number of processes that read images.
        collate: Makes a batch of items; by default as ``LabelledImages`` does.
        home: Folder for files of synthetic pictures, as for ``LabelledImages``.
    """
    samples = images.samples
    return [
        DataLoader(
            LabelledImages(samples[samples["masked"] == masked], images.augmentations, home),
            batch_size=batch_size,
            num_workers=num_workers,
            collate_fn=collate or collate_uniform,
        )
        for masked in samples["masked"].sort_values(ascending=False).unique()
    ]
