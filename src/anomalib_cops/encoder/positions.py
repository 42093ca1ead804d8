"""The image size of a Vision Transformer, and its position table fitted to it."""

from math import isqrt
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from anomalib_cops.errors import InputError


def check_image_size(image_size: int, patch: int, name: str) -> None:
    """Refuse a side of the images, in pixels, that patches do not fill.

    Raises:
        InputError: it is not a multiple of the patch; the message names the nearest that are.
    """
    if image_size < patch or image_size % patch:
        below = max(image_size // patch, 1) * patch
        raise InputError(
            f"image_size={image_size} is not a multiple of the {patch}-pixel patches of backbone '{name}'; "
            f"use {below} or {below + patch}."
        )


def resize_positions(
    table: Float[Tensor, "positions width"],
    grid: int,
    mode: Literal["bilinear", "bicubic"] = "bilinear",
    antialias: bool = False,
    prefix: int = 1,
) -> Float[Tensor, "resized width"]:
    """Interpolate a square position table to another patch grid; the rows of other tokens stay as they are.

    Args:
        table: rows of the class token and registers, then those of the patches of the native grid, row by row.
        grid: wanted number of patches per side.
        mode: interpolation; CoPS uses bilinear, other methods bicubic.
        antialias: apply a low-pass filter when the grid shrinks.
        prefix: number of rows before those of the patches.

    Returns:
        The table for ``grid * grid`` patches; the very same tensor if the grid is the native one.
    """
    native = isqrt(table.shape[0] - prefix)
    if native == grid:
        return table
    patches = table[prefix:].T.reshape(1, -1, native, native)
    patches = F.interpolate(patches, size=(grid, grid), mode=mode, align_corners=False, antialias=antialias)
    return torch.cat([table[:prefix], patches.flatten(2)[0].T])
