"""Turn files, Pillow images, arrays and tensors into levels. Needs NumPy and Pillow alone."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalib_cops.errors import InputError
from anomalib_cops.images.decoding import ImageSource, open_image, upright
from anomalib_cops.images.reading import LEAST_WHITE, OVERSHOOT, rgb_of_16_bits, to_rgb, wrong_range
from anomalib_cops.images.resizing import resize_levels, resized_planes

CHANNELS = (1, 2, 3, 4)
UNIT = np.float32(1 / 255)
"""One level of 8 bits. torchvision multiplies by it, too; a division by 255 would be rounded in another way."""


@dataclass(frozen=True)
class Picture:
    """A decoded image.

    Attributes:
        levels: RGB levels, shape (height, width, 3): 8 bits, or float32 in [0, 1].
        name: what messages and results call it; empty for an image in memory.
        resized: levels of 8 bits at the size of the model's input, if they were resized before.
        own_size: width and height of the image, if ``levels`` are the resized ones as well.
    """

    levels: npt.NDArray[np.uint8] | npt.NDArray[np.float32]
    name: str = ""
    resized: npt.NDArray[np.uint8] | None = None
    own_size: tuple[int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.own_size or (self.levels.shape[1], self.levels.shape[0])

    @property
    def planes(self) -> npt.NDArray[np.float32]:
        """Levels in [0, 1], shape (3, height, width), as models take them."""
        if self.resized is not None:
            return resized_planes(self.resized)
        planes = np.ascontiguousarray(self.levels.transpose(2, 0, 1), np.float32)
        return planes * UNIT if self.levels.dtype == np.uint8 else planes

    def resized_to(self, size: tuple[int, int], keeps_levels: bool = True) -> "Picture":
        """Return the picture with levels at the size of a model's input, which gives the same scores.

        Args:
            size: height and width in pixels.
            keeps_levels: keep the levels at the picture's own size as well, which a drawing needs.
        """
        if self.levels.dtype != np.uint8 or self.levels.shape[:2] == size:
            return self
        small = resize_levels(self.levels, size)  # type: ignore[arg-type] # bytes, as was just asked
        return Picture(self.levels, self.name, small) if keeps_levels else Picture(small, self.name, small, self.size)


def read_picture(source: ImageSource, name: str | None = None, max_pixels: int | None = None) -> Picture:
    """Read an image file as every part of this package does, see :func:`~anomalib_cops.images.reading.read_image`.

    Args:
        source: path, or an open file in binary mode.
        name: what messages and results call it; by default the path.
        max_pixels: largest number of pixels; by default twice ``PIL.Image.MAX_IMAGE_PIXELS``, about 179 million.

    Raises:
        InputError: the file cannot be used.
    """
    name = str(source) if name is None else name
    with open_image(source, name, max_pixels) as file:
        return Picture(to_rgb(file.image), name)


def to_picture(image: Any, max_pixels: int | None = None) -> Picture:
    """Return an image of any kind as a picture.

    Args:
        image: a path; a Pillow image; an array (height, width) or (height, width, channels), or a torch tensor
            (channels, height, width), of uint8, uint16, or floating-point numbers in [0, 1]; or a picture.
        max_pixels: as of :func:`read_picture`.

    Raises:
        InputError: it is none of these, or its levels cannot be used.
    """
    if isinstance(image, Picture):
        return image
    if isinstance(image, (str, Path)):
        return read_picture(os.path.expanduser(image), max_pixels=max_pixels)
    if isinstance(image, Image.Image):
        if not image.width or not image.height:
            raise InputError(f"A Pillow image of {image.width} x {image.height} has no pixels.")
        try:
            return Picture(to_rgb(upright(image)))
        except (ValueError, OSError) as error:
            raise InputError(f"The Pillow image cannot be used: {error}.") from None
    # Open files have a method "detach" of their own.
    if hasattr(image, "detach") and hasattr(image, "cpu"):
        array = _array_of(image)
        if array.ndim == 3 and array.shape[0] in CHANNELS:
            return Picture(_rgb(array.transpose(1, 2, 0)))
        raise InputError(
            f"A tensor of shape {tuple(array.shape)} is no image; give (channels, height, width), or a list."
        )
    if isinstance(image, np.ndarray):
        array = image[..., None] if image.ndim == 2 else image
        if array.ndim == 3 and array.shape[2] in CHANNELS:
            return Picture(_rgb(array))
        raise InputError(f"An array of shape {image.shape} is no image; give (height, width, channels), or a list.")
    raise InputError(
        f"A {type(image).__name__} is no image; give a path, a Pillow image, an array, a tensor, or a list of these."
    )


def _array_of(tensor: Any) -> npt.NDArray[Any]:
    """Return the values of a torch tensor."""
    held = tensor.detach()
    # NumPy has no bfloat16, which float32 holds without loss.
    held = held.float() if str(held.dtype) == "torch.bfloat16" else held
    try:
        array: npt.NDArray[Any] = held.cpu().numpy()
    except (TypeError, RuntimeError):
        raise InputError(
            f"A tensor of {held.dtype} on {held.device}, of layout {held.layout}, has no values that NumPy can read; "
            "give a dense tensor of real numbers."
        ) from None
    return array


def _rgb(levels: npt.NDArray[Any]) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
    """Return levels (height, width, channels) as RGB; grey is repeated, and an alpha channel dropped, as in files."""
    if not levels.size:
        raise InputError(f"An image of shape {levels.shape} has no pixels.")
    colours = levels[..., :1] if levels.shape[2] < 3 else levels[..., :3]
    if colours.dtype.newbyteorder("=") == np.uint16:
        try:
            levels_8_bit = rgb_of_16_bits(colours.astype(np.int64))
        except ValueError as error:
            raise InputError(f"The image cannot be used: {error}.") from None
        return np.broadcast_to(levels_8_bit, (*levels.shape[:2], 3)).copy()
    if colours.dtype == np.uint8:
        return np.broadcast_to(colours, (*levels.shape[:2], 3)).copy()
    if not np.issubdtype(colours.dtype, np.floating):
        raise InputError(
            f"Images of {colours.dtype} do not say what is white; give levels in [0, 1], or of 8 or 16 bits as "
            "uint8 or uint16."
        )
    low, high = float(colours.min()), float(colours.max())
    if not np.isfinite(colours).all():
        raise InputError("The image has levels that are NaN or infinite; give numbers in [0, 1].")
    if low < -OVERSHOOT or high > 1 + OVERSHOOT or 0 < high < LEAST_WHITE:
        raise InputError(wrong_range("The image", low, high))
    return np.broadcast_to(colours.astype(np.float32), (*levels.shape[:2], 3)).copy()
