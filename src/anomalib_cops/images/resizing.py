"""Pillow's resizing of images in memory, through 8 bits, as the official code does to files."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

WHITE = np.float32(255)


def resize_planes(
    planes: npt.NDArray[Any], size: tuple[int, int], resample: Image.Resampling = Image.Resampling.BICUBIC
) -> npt.NDArray[np.float32]:
    """Resize channels in [0, 1], shape (channels, height, width), to ``size`` (height, width).

    Width comes first, then height, whatever the image: Pillow 13 turns the order round for tall images, and scores must
    not change with its version.
    """
    levels = (planes * np.float32(255)).round().clip(0, 255).astype(np.uint8)
    height, width = size
    resized = [
        np.asarray(
            Image.fromarray(channel).resize((width, channel.shape[0]), resample).resize((width, height), resample)
        )
        for channel in levels
    ]
    return np.stack(resized).astype(np.float32) / WHITE


def resize_levels(levels: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Resize RGB levels, shape (height, width, 3), to ``size`` (height, width), bicubically.

    Divided by ``WHITE``, they are what :func:`resize_planes` makes of the same image, to the last bit, in a third of
    its time.
    """
    height, width = size
    image = Image.fromarray(levels).resize((width, levels.shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def resized_planes(levels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return what :func:`resize_levels` gave as channels in [0, 1], shape (3, height, width)."""
    return np.ascontiguousarray(levels.transpose(2, 0, 1), np.float32) / WHITE
