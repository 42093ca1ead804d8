"""Image files as Pillow opens them, the right way up; one that cannot be used is named with the reason."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from anomalib_cops.errors import InputError

_ORIENTATION = 0x0112
_UPRIGHT = 1
# EXIF orientation → how stored rows and columns become those that are shown.
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
    """An image file.

    Attributes:
        image: Its content as it is to be shown.
        orientation: How the file stores it, as EXIF counts: 1 upright, 2 to 8 mirrored or turned.
        is_cut: Its colours have 16 bits, of which Pillow gives the upper 8.
    """

    image: Image.Image
    orientation: int
    is_cut: bool

    @property
    def is_turned(self) -> bool:
        """Whether the file stores other rows than it shows."""
        return self.orientation != _UPRIGHT


@contextmanager
def open_image(path: str | Path) -> Iterator[DecodedImage]:
    """Opens and decodes an image file.

    Raises:
        InputError: The file is missing, empty, damaged, not an image, or too large for Pillow (more than about 179
            million pixels); or what is done with it raises anything.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns at half the size that it refuses; industrial cameras do reach that.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                # Pillow turns TIFF files itself and takes their mark away. It looks for that of PNG files behind the
                # pixels, so those have to be sound.
                orientation = _orientation(image) if image.format == "TIFF" else _UPRIGHT
                is_cut = any(";16" in str(tile) for tile in image.tile) and not exceeds_8_bits(image.mode)
                image.load()
                orientation = orientation if image.format == "TIFF" else _orientation(image)
                shown = image if orientation == _UPRIGHT else ImageOps.exif_transpose(image)
                yield DecodedImage(shown, orientation, is_cut)
    except InputError:
        raise
    except Exception as error:  # decoders raise errors of any kind on damaged files
        raise InputError(f"{path} cannot be used: {_reason(path, error)}; remove or replace it.") from None


def read_header(path: str | Path) -> tuple[str, int]:
    """Mode as Pillow names it, and EXIF orientation; only the beginning of the file is read. Raises as ``open_image``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                # Every reader that uses Pillow gets TIFF files upright. A PNG file would be decoded as a whole.
                is_settled = image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info)
                return image.mode, _UPRIGHT if is_settled else _orientation(image)
    except Exception as error:
        raise InputError(f"{path} cannot be used: {_reason(path, error)}; remove or replace it.") from None


def turned(stored: npt.NDArray[np.generic], orientation: int) -> npt.NDArray[np.generic]:
    """Rows and columns as they are to be shown, of those that a file stores.

    Args:
        stored: Shape (height, width, ...).
        orientation: As EXIF counts, 1 to 8.
    """
    return np.ascontiguousarray(_TURNS[orientation](stored)) if orientation in _TURNS else stored


def exceeds_8_bits(mode: str) -> bool:
    """Whether an image of this mode has one channel of more than 8 bits."""
    return mode.startswith("I")


def levels_16_bit(image: Image.Image) -> npt.NDArray[np.int64]:
    """Levels of an image of one channel of more than 8 bits, shape (height, width), in [0, 65535].

    Raises:
        ValueError: There are others.
    """
    # Pillow's own conversion clips at 255. Mode "I" is how 16 bits are opened from some formats.
    levels = np.asarray(image).astype(np.int64)
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError("its levels need more than 16 bits")
    return levels


def _orientation(image: Image.Image) -> int:
    # A damaged note about the picture does not make the picture unusable.
    with warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")
        found = image.getexif().get(_ORIENTATION, _UPRIGHT)
        return found if found in _TURNS else _UPRIGHT
    return _UPRIGHT


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
