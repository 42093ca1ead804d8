"""Images as RGB levels of 8 bits, read as the published protocols read them. Needs NumPy and Pillow."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalib_cops.errors import InputError
from anomalib_cops.images.decoding import exceeds_8_bits, levels_16_bit, open_image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")

_NAMED_AT_MOST = 3


OVERSHOOT = 0.25
"""How far resizing may overshoot black and white; images that were normalised or never scaled go further."""
LEAST_WHITE = 1e-4
"""If all levels are below this, 16 bits were divided by the range of 32."""


def read_image(path: str | Path) -> npt.NDArray[np.uint8]:
    """Read any image file as RGB levels, shape (height, width, 3).

    Grey and palette images become RGB, and an alpha channel is dropped. 16 bits are scaled to 8 by a fixed factor
    (65535 → 255), so that the levels of an image never depend on its own brightest pixel. An image that is stored
    turned (EXIF orientation) is returned the right way up.

    Raises:
        InputError: The file is missing, empty, damaged, not an image, or too large for Pillow (more than about 179
            million pixels); or its levels are floating-point numbers, or 8-bit levels stored in 16 bits.
    """
    with open_image(path) as file:
        return to_rgb(file.image)


def wrong_range(name: str, low: float, high: float) -> str:
    """Return the message about an image in memory whose levels are not in [0, 1]."""
    return (
        f"{name} has levels from {low:.3g} to {high:.3g}, but black is 0 and white is 1; divide 8-bit levels by 255 "
        "and 16-bit ones by 65535, and leave normalising to the model."
    )


def rgb_of_16_bits(levels: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Scale levels of 16 bits to 8 by a fixed factor (65535 → 255).

    Raises:
        ValueError: they were 8-bit levels.
    """
    if 0 < levels.max() <= 255:
        raise ValueError(f"its 16 bits hold levels up to {levels.max()} only, which is black; save it with 8 bits")
    return ((levels + 128) // 257).astype(np.uint8)


def check_images(paths: Iterable[str | Path]) -> list[str]:
    """Decode every file once.

    Returns:
        Paths of the images with more than 8 bits, which anomalib's own reader would clip to white.

    Raises:
        InputError: Files cannot be read; the message names the first ones and their number.
    """
    count, bad, deep = 0, [], []
    for path in paths:
        count += 1
        try:
            with open_image(path) as file:
                to_rgb(file.image)
                if exceeds_8_bits(file.image.mode):
                    deep.append(str(path))
        except InputError as error:
            bad.append(str(error).removesuffix("; remove or replace it."))
    if len(bad) == 1:
        raise InputError(f"{bad[0]}; remove or replace it.")
    if bad:
        more = f", and {len(bad) - _NAMED_AT_MOST} more" if len(bad) > _NAMED_AT_MOST else ""
        raise InputError(
            f"{len(bad)} of {count} files are bad: {', '.join(bad[:_NAMED_AT_MOST])}{more}; remove or replace them."
        )
    return deep


def to_rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Return the RGB levels of a decoded image, shape (height, width, 3), as ``read_image`` does.

    Raises:
        ValueError: Its levels are floating-point numbers, or 8-bit levels stored in 16 bits.
    """
    if image.mode == "F":
        raise ValueError("its levels are floating-point numbers, 8 or 16 bits are needed")
    if exceeds_8_bits(image.mode):
        return np.repeat(rgb_of_16_bits(levels_16_bit(image))[..., None], 3, axis=2)
    if "transparency" in image.info:
        # Same colours, without Pillow's warning about palettes with transparent entries.
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))
