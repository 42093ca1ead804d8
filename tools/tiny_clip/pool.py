"""The training pictures, drawn before training starts: pairs of the same product with and without a defect."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, Real, UInt8
from torch import Tensor

from anomalib_cops.data.synthetic import CATEGORIES, DEFECTS, draw
from anomalib_cops.data.synthetic.looks import LOOKS
from anomalib_cops.encoder.normalisation import CLIP_MEAN, CLIP_STD

_KINDS = {name: index for names in (DEFECTS, tuple(LOOKS)) for index, name in enumerate(names)}
_GREY = 0.2
"""Share of pairs that are shown in grey."""
_NEGATIVE = 0.1
"""Share of pairs that are shown as negatives."""


@dataclass(frozen=True)
class Pool:
    """Pairs in memory.

    Attributes:
        images: levels of each pair, without and with the defect.
        coverage: anomalous share of every patch of the second picture, in [0, 1].
        categories: index into the names of the categories drawn.
        defects: index into ``DEFECTS``, or into ``LOOKS`` for pairs of looks.
    """

    images: UInt8[Tensor, "pairs 2 height width 3"]
    coverage: Float[Tensor, "pairs grid grid"]
    categories: Int[Tensor, " pairs"]
    defects: Int[Tensor, " pairs"]

    @classmethod
    def draw(
        cls,
        pairs: int,
        *,
        seed: int,
        size: int,
        grid: int,
        workers: int,
        levels: tuple[str, ...] = ("mixed",),
        names: tuple[str, ...] = CATEGORIES,
    ) -> "Pool":
        """Draw the first pairs of a seed; they are the same for any number of workers.

        Categories alternate, and within a category the levels of difficulty alternate.

        Args:
            pairs: number of pairs.
            seed: seed of the pictures.
            size: side of the pictures in pixels.
            grid: patches per side.
            workers: processes that draw.
            levels: levels of difficulty.
            names: categories to draw.
        """
        chunks = [range(start, min(start + 256, pairs)) for start in range(0, pairs, 256)]
        jobs = [(chunk, seed, size, grid, levels, names) for chunk in chunks]
        if workers > 1:
            with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as executor:
                parts = list(executor.map(_draw_chunk, jobs))
        else:
            parts = [_draw_chunk(job) for job in jobs]
        images, coverage, categories, defects = (
            torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True)
        )
        return cls(images, coverage, categories, defects)

    def batches(self, pairs: int, categories: int, seed: int) -> Iterator[tuple[Int[Tensor, " pairs"], list[int]]]:
        """Yield endless batches: row numbers of pairs, and the categories that they belong to.

        Every pair of a category is shown once before any is shown again.

        Args:
            pairs: pairs per batch, the same number of each category.
            categories: categories per batch, drawn anew for each.
            seed: seed of the order.
        """
        generator = torch.Generator().manual_seed(seed)
        present = self.categories.unique().tolist()
        members = {category: (self.categories == category).nonzero()[:, 0] for category in present}
        waiting = {category: members[category][:0] for category in present}
        share = pairs // categories
        while True:
            chosen = [present[i] for i in torch.randperm(len(present), generator=generator)[:categories].tolist()]
            rows = []
            for category in chosen:
                if len(waiting[category]) < share:
                    order = torch.randperm(len(members[category]), generator=generator)
                    waiting[category] = members[category][order]
                rows.append(waiting[category][:share])
                waiting[category] = waiting[category][share:]
            yield torch.cat(rows), chosen


def _draw_chunk(
    job: tuple[range, int, int, int, tuple[str, ...], tuple[str, ...]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    indices, seed, size, grid, levels, names = job
    cv2.setNumThreads(1)
    images = np.empty((len(indices), 2, size, size, 3), np.uint8)
    coverage = np.empty((len(indices), grid, grid), np.float32)
    categories = np.empty(len(indices), np.int64)
    defects = np.empty(len(indices), np.int64)
    for row, index in enumerate(indices):
        number, category = divmod(index, len(names))
        categories[row] = category
        name, level = names[category], levels[number % len(levels)]
        images[row, 0] = draw(name, number, seed=seed, anomalous=False, size=size).image
        sample = draw(name, number, seed=seed, anomalous=True, size=size, level=level)
        images[row, 1] = sample.image
        patch = size // grid
        coverage[row] = sample.mask.reshape(grid, patch, grid, patch).mean((1, 3))
        defects[row] = _KINDS[sample.defect]
    return images, coverage, categories, defects


def normalise(images: Real[Tensor, "batch height width 3"]) -> Float[Tensor, "batch 3 height width"]:
    """Normalise RGB levels from 0 to 255 as the encoder needs them."""
    mean, std = torch.tensor(CLIP_MEAN) * 255, torch.tensor(CLIP_STD) * 255
    return ((images - mean) / std).permute(0, 3, 1, 2).contiguous()


def augment(
    images: UInt8[Tensor, "pairs 2 height width 3"],
    coverage: Float[Tensor, "pairs grid grid"],
    generator: torch.Generator,
) -> tuple[Float[Tensor, "pairs 2 3 height width"], Float[Tensor, "pairs grid grid"]]:
    """Augment pairs, both pictures of a pair alike: turn, mirror, permute or remove colours, change and invert tones.

    Turns are by right angles, so that patches stay patches. One turn is drawn for the whole batch, colours per pair.

    Returns:
        The pictures as the encoder needs them, and their coverage.
    """
    flip, across, down = (torch.rand(3, generator=generator) < 0.5).tolist()
    axes = [axis for axis, wanted in ((1, down), (2, across)) if wanted]
    coverage = coverage.flip(axes)
    images = images.flip([axis + 1 for axis in axes])
    if flip:
        coverage, images = coverage.transpose(1, 2), images.transpose(2, 3)
    channels = torch.stack([torch.randperm(3, generator=generator) for _ in images])
    keep = torch.rand(len(images), 1, generator=generator) < 0.6
    channels = torch.where(keep, torch.arange(3), channels)
    picked = images.gather(4, channels[:, None, None, None, :].expand(images.shape)).float()
    gain = 1 + 0.25 * (torch.rand(len(images), 1, 1, 1, 1, generator=generator) - 0.5)
    shift = 30 * (torch.rand(len(images), 1, 1, 1, 1, generator=generator) - 0.5)
    toned = ((picked - 128) * gain + 128 + shift).clamp(0, 255)
    gamma, grey, negative = (torch.rand(len(images), 1, 1, 1, 1, generator=generator) for _ in range(3))
    toned = 255 * (toned / 255) ** (2 ** (2 * gamma - 1))
    toned = torch.where(grey < _GREY, toned.mean(-1, keepdim=True), toned)
    toned = torch.where(negative < _NEGATIVE, 255 - toned, toned)
    return normalise(toned.flatten(0, 1)).unflatten(0, (len(images), 2)), coverage
