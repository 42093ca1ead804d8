"""Image → class and patch features, along the ordinary path and the local path of a frozen ViT."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import isqrt
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from anomalib_cops.encoder.blocks import OpenClipModule, attend, feed_forward, project_qkv


@dataclass(frozen=True)
class ImageFeatures:
    """What the frozen encoder tells about a batch of images, in the joint space, not normalised.

    Attributes:
        cls: one vector for the whole image.
        patches: one vector per patch (row by row) at every tapped layer.
    """

    cls: Float[Tensor, "batch dim"]
    patches: Float[Tensor, "layers batch patches dim"]


@dataclass(frozen=True)
class ImageTokens:
    """What the image tower's blocks say about a batch of images: the residual stream, before the last norm.

    Attributes:
        cls: class token of the ordinary path after the last block.
        patches: patch tokens after every tapped block.
    """

    cls: Float[Tensor, "batch width_"]
    patches: Float[Tensor, "layers batch patches width_"]


Paths: TypeAlias = tuple[Float[Tensor, "batch tokens width"], Float[Tensor, "batch tokens width"] | None]
Walk: TypeAlias = Callable[[Iterable[OpenClipModule], Float[Tensor, "batch tokens width"], range, int], Iterator[Paths]]
"""A way through the frozen blocks; :func:`walk` is the one without additions."""


def resize_positions(
    table: Float[Tensor, "positions width"],
    grid: int,
    mode: Literal["bilinear", "bicubic"] = "bilinear",
    antialias: bool = False,
) -> Float[Tensor, "resized width"]:
    """Fit a square position table to another patch grid; the class token's row is kept.

    Args:
        table: class row first, then the patches of the native grid row by row.
        grid: patches per side that are wanted.
        mode: bilinear as CoPS does; other methods use bicubic.
        antialias: low-pass filter when the grid shrinks.

    Returns:
        The table for ``grid * grid`` patches; the very same tensor if the grid already fits.
    """
    native = isqrt(table.shape[0] - 1)
    if native == grid:
        return table
    patches = table[1:].T.reshape(1, -1, native, native)
    patches = F.interpolate(patches, size=(grid, grid), mode=mode, align_corners=False, antialias=antialias)
    return torch.cat([table[:1], patches.flatten(2)[0].T])


def embed(
    visual: OpenClipModule,
    images: Float[Tensor, "batch 3 height width"],
    positions: Float[Tensor, "tokens width_"],
) -> Float[Tensor, "batch tokens width_"]:
    """Class token and patches with their positions, normalised, ready for the first block."""
    patches = visual.conv1(images).flatten(2).transpose(1, 2)
    cls = visual.class_embedding.expand(images.shape[0], 1, -1)
    return visual.ln_pre(torch.cat([cls, patches], dim=1) + positions)


def walk(
    blocks: Iterable[OpenClipModule],
    x: Float[Tensor, "batch tokens width"],
    local_blocks: range = range(0),
    cls_block: int = 0,
) -> Iterator[Paths]:
    """Yield the tokens of both paths after every block.

    The local path (consistency self-attention, as in CoPS and AnomalyCLIP) starts from the ordinary path's tokens,
    adds v-v attention of the ordinary path's values in every block of ``local_blocks``, has no feed-forward and never
    feeds back, so the ordinary path is the same with and without it.

    Args:
        blocks: the frozen blocks in order.
        x: tokens before the first block.
        local_blocks: 1-based numbers of the blocks in which the local path runs.
        cls_block: 1-based number of the block, the last one, from which only the class token is wanted of the ordinary
            path; nothing else is computed of it there. 0 if all tokens are wanted.

    Yields:
        (ordinary, local); local is None before its first block.
    """
    ordinary, local = x, None
    for number, block in enumerate(blocks, start=1):
        if number == local_blocks.start:
            local = ordinary
        query, key, value = project_qkv(block, ordinary)
        if local is not None and number in local_blocks:
            local = local + attend(block, value, value, value)
        if number == cls_block:
            ordinary, query = ordinary[:, :1], query[:, :, :1]
        ordinary = feed_forward(block, ordinary + attend(block, query, key, value))
        yield ordinary, local
