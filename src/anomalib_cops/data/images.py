"""Image and mask files: read them as the published protocols do, and say which ones cannot be read."""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from anomalib_cops.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
# Users' masks are often saved with loss.
MASK_ABOVE = 127

_NAMED_AT_MOST = 3


def read_image(path: str | Path) -> npt.NDArray[np.uint8]:
    """Reads any image file as RGB levels, shape (height, width, 3).

    Grey and palette images become RGB, an alpha channel is dropped. 16 bits are scaled to 8 by a fixed factor
    (65535 → 255), so that a picture's levels never depend on its own brightest pixel.

    Raises:
        InputError: The file is missing, empty, damaged, not an image, of floating-point levels, or too large for Pillow
            (more than about 179 million pixels).
    """
    levels, _ = _read(path)
    return levels


def read_mask(path: str | Path, above: int = MASK_ABOVE) -> npt.NDArray[np.bool_]:
    """Reads a mask file, shape (height, width).

    A mask without any anomalous pixel is returned as it is.

    Args:
        path: The file.
        above: A pixel is anomalous where its brightest channel is above this, in [0, 254].

    Raises:
        InputError: As ``read_image``; or the mask is written with levels that are all too dark, which would silently
            be empty.
    """
    levels = read_image(path).max(axis=2)
    if above and levels.max() == 1:
        raise InputError(
            f"{path} is a mask of 0 and 1, but anomalous means brighter than {above}; save it with 0 and 255."
        )
    return np.asarray(levels > above, np.bool_)


def check_images(paths: Iterable[str | Path]) -> list[str]:
    """Decodes every file once.

    Returns:
        Those of more than 8 bits, which anomalib's own reader would clip to white.

    Raises:
        InputError: Some cannot be read; the sentence names the first ones and how many there are.
    """
    count, bad, deep = 0, [], []
    for path in paths:
        count += 1
        try:
            _, mode = _read(path)
        except InputError as error:
            bad.append(str(error).removesuffix("; remove or replace it."))
        else:
            if _is_deep(mode):
                deep.append(str(path))
    if len(bad) == 1:
        raise InputError(f"{bad[0]}; remove or replace it.")
    if bad:
        more = f", and {len(bad) - _NAMED_AT_MOST} more" if len(bad) > _NAMED_AT_MOST else ""
        raise InputError(
            f"{len(bad)} of {count} files are bad: {', '.join(bad[:_NAMED_AT_MOST])}{more}; remove or replace them."
        )
    return deep


def _read(path: str | Path) -> tuple[npt.NDArray[np.uint8], str]:
    """RGB levels, and the mode of the file as Pillow names it; raises as ``read_image``."""
    try:
        with warnings.catch_warnings():
            # Pillow warns at half the size that it refuses; industrial cameras do reach that.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return _rgb(image), image.mode
    except Exception as error:  # decoders raise errors of any kind on damaged files
        raise InputError(f"{path} cannot be used: {_reason(path, error)}; remove or replace it.") from None


def _is_deep(mode: str) -> bool:
    return mode.startswith("I")


def _rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    if image.mode == "F":
        raise ValueError("its levels are floating-point numbers, 8 or 16 bits are needed")
    if _is_deep(image.mode):
        # Pillow's own conversion clips at 255. Mode "I" is how 16 bits are opened from some formats.
        levels = np.asarray(image).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError("its levels need more than 16 bits")
        return np.repeat(((levels + 128) // 257).astype(np.uint8)[..., None], 3, axis=2)
    if "transparency" in image.info:
        # Same colours, without Pillow's warning about palettes with transparent entries.
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))


def _reason(path: str | Path, error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "reading it is not permitted"
    if isinstance(error, IsADirectoryError):
        return "it is a folder"
    if os.path.isfile(path) and os.path.getsize(path) == 0:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image that can be opened"
    if isinstance(error, (Image.DecompressionBombError, MemoryError)):
        return "it has too many pixels"
    return f"the image is damaged or of a kind that is not supported ({error})"
