"""Decoding of image files with Pillow, the right way up, and one clear sentence about a file that cannot be used."""

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from anomalib_cops.errors import InputError

ImageSource = str | Path | BinaryIO | BytesIO
"""Path of an image file, or the file itself, open in binary mode."""

_LIMIT = threading.Lock()
_ORIENTATION_TAG = 0x0112
_UPRIGHT = 1
# EXIF orientation → how the rows and columns that are stored become those that are shown.
_TURNS = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored),
}


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image file.

    Attributes:
        image: Its content, the right way up.
        orientation: EXIF orientation of the file: 1 upright, 2 to 8 mirrored or turned.
        is_truncated: Whether its colours have 16 bits, of which Pillow gives the upper 8.
    """

    image: Image.Image
    orientation: int
    is_truncated: bool

    @property
    def is_turned(self) -> bool:
        """Whether the file stores the image mirrored or turned."""
        return self.orientation != _UPRIGHT


@contextmanager
def open_image(path: ImageSource, name: str | None = None, max_pixels: int | None = None) -> Iterator[DecodedImage]:
    """Open and decode an image file.

    Args:
        path: The file, or an open file in binary mode.
        name: What messages call it; the path by default.
        max_pixels: Largest number of pixels; twice ``PIL.Image.MAX_IMAGE_PIXELS`` by default, about 179 million, as
            small files can unpack to images that fill the memory.

    Raises:
        InputError: The file is missing, empty, damaged, not an image, or has too many pixels; or the block that uses
            the image raises an exception.
    """
    name = str(path) if name is None else name
    try:
        with warnings.catch_warnings():
            # Pillow warns at half the size that it refuses; images of industrial cameras reach that.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with _open(path, max_pixels) as image:
                # Pillow turns TIFF files itself and removes the tag. The tag of a PNG file may follow the pixels, so
                # it is read after they have been decoded.
                orientation = _orientation(image) if image.format == "TIFF" else _UPRIGHT
                is_truncated = any(";16" in str(tile) for tile in image.tile) and not exceeds_8_bits(image.mode)
                image.load()
                orientation = orientation if image.format == "TIFF" else _orientation(image)
                shown = image if orientation == _UPRIGHT else ImageOps.exif_transpose(image)
                yield DecodedImage(shown, orientation, is_truncated)
    except InputError:
        raise
    except Exception as error:  # decoders raise errors of any kind on damaged files
        raise InputError(f"{name} cannot be used: {_reason(path, error, max_pixels)}; remove or replace it.") from None


def upright(image: Image.Image) -> Image.Image:
    """Return an image in memory the right way up, as its EXIF data say."""
    return image if _orientation(image) == _UPRIGHT else ImageOps.exif_transpose(image)


def _open(path: ImageSource, max_pixels: int | None) -> ImageFile.ImageFile:
    """Open a file with a limit of its own; Pillow looks at its global limit when it opens a file, not later."""
    with _LIMIT:
        before = Image.MAX_IMAGE_PIXELS
        try:
            if max_pixels is not None:
                Image.MAX_IMAGE_PIXELS = -(-max_pixels // 2)
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = before


def read_header(path: str | Path) -> tuple[str, int]:
    """Return Pillow's mode and the EXIF orientation from the beginning of a file, without decoding the image.

    The orientation is 1 for formats that Pillow turns itself (TIFF), and for PNG files whose EXIF data, if any, follow
    the pixels.

    Raises:
        InputError: As :func:`open_image`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                # To look for EXIF data behind the pixels of a PNG file, Pillow would have to decode the whole file.
                is_settled = image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info)
                return image.mode, _UPRIGHT if is_settled else _orientation(image)
    except Exception as error:
        raise InputError(f"{path} cannot be used: {_reason(path, error)}; remove or replace it.") from None


def turn_upright(stored: npt.NDArray[np.generic], orientation: int) -> npt.NDArray[np.generic]:
    """Turn stored pixels the right way up.

    Args:
        stored: Pixels as the file stores them, shape (height, width, ...).
        orientation: EXIF orientation, 1 to 8.
    """
    return np.ascontiguousarray(_TURNS[orientation](stored)) if orientation in _TURNS else stored


def exceeds_8_bits(mode: str) -> bool:
    """Tell whether images of a Pillow mode have one channel of more than 8 bits."""
    return mode.startswith("I")


def levels_16_bit(image: Image.Image) -> npt.NDArray[np.int64]:
    """Return the levels of an image with one channel of more than 8 bits, shape (height, width), in [0, 65535].

    Raises:
        ValueError: There are levels beyond this range.
    """
    # Pillow's own conversion clips at 255. Some formats with 16 bits are opened in the 32-bit mode "I".
    levels = np.asarray(image).astype(np.int64)
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError("its levels need more than 16 bits")
    return levels


def _is_empty(path: ImageSource) -> bool:
    if isinstance(path, (str, Path)):
        return os.path.isfile(path) and os.path.getsize(path) == 0
    with suppress(OSError, ValueError):
        return path.seek(0, os.SEEK_END) == 0
    return False


def _orientation(image: Image.Image) -> int:
    # Damaged EXIF data do not make an image unusable.
    with warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")
        found = image.getexif().get(_ORIENTATION_TAG, _UPRIGHT)
        return found if found in _TURNS else _UPRIGHT
    return _UPRIGHT


def _reason(path: ImageSource, error: BaseException, max_pixels: int | None = None) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "reading it is not permitted"
    if isinstance(error, IsADirectoryError):
        return "it is a folder"
    if _is_empty(path):
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image that can be opened"
    if isinstance(error, Image.DecompressionBombError):
        limit = max_pixels or 2 * (Image.MAX_IMAGE_PIXELS or 0)
        return (
            f"it has more than {limit:,} pixels, the limit for files that nobody vouches for (raise it by max_pixels, "
            "or for all of Pillow by PIL.Image.MAX_IMAGE_PIXELS)"
        )
    if isinstance(error, MemoryError):
        return "it has too many pixels for the memory"
    return f"the image is damaged or of a kind that is not supported ({error})"
