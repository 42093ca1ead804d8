"""Pillow's resizing of images in memory, channel by channel through 8 bits, as the official code does to files."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image


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
    return np.stack(resized).astype(np.float32) / np.float32(255)
