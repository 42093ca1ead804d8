"""Mask files: which pixels are anomalous, and a sentence where a mask does not say it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from anomalib_cops.data.decoding import DecodedImage, exceeds_8_bits, levels_16_bit, open_image, turned
from anomalib_cops.errors import InputError

# Users' masks are often saved with loss.
MASK_ABOVE = 127
# The levels of masks that are anomalous: these, or every one but 0; None if the kind of data set decides.
MaskValues = tuple[int, ...] | Literal["nonzero"] | None

_DEEPEST = 65535
_NAMED_AT_MOST = 8


def read_mask(path: str | Path, above: int = MASK_ABOVE, values: MaskValues = None) -> npt.NDArray[np.bool_]:
    """Reads a mask file, shape (height, width), the right way up.

    A mask without any anomalous pixel is returned as it is.

    Args:
        path: The file.
        above: A pixel is anomalous where its brightest channel is above this, in [0, 254]; it is of 255, or of 65535
            where a mask has levels above 255.
        values: The levels that are anomalous, or "nonzero" for all but 0, whatever ``above`` says. The level of a
            pixel is that of its brightest channel, its index in a palette, or its alpha where all else is the same.

    Raises:
        InputError: As :func:`~anomalib_cops.data.images.read_image`; or without ``values`` the levels do not say what
            is anomalous: there are some, but none above the limit; or whole regions lie on either side of it; or only
            palette or alpha tell pixels apart.
    """
    with open_image(path) as file:
        return anomalous_pixels(file, path, above, values)


def parse_mask_values(given: Any) -> MaskValues:
    """What a user says of the levels of masks, checked; nothing and an empty text are None.

    Raises:
        InputError: It is neither a list of levels nor "nonzero".
    """
    if given is None or given == "":
        return None
    if given in ("nonzero", ["nonzero"]):
        return "nonzero"
    several = list(given) if isinstance(given, (list, tuple)) else [given]
    if not several or not all(type(each) is int and 0 <= each <= _DEEPEST for each in several):
        raise InputError(
            f"mask_values={given} is not understood; give the levels of masks that are anomalous as a list of numbers "
            f"from 0 to {_DEEPEST}, or 'nonzero' for all but 0."
        )
    return tuple(sorted(set(several)))


def anomalous_pixels(file: DecodedImage, path: str | Path, above: int, values: MaskValues) -> npt.NDArray[np.bool_]:
    """As ``read_mask``, of a file that has been opened.

    Raises:
        InputError: The levels do not say what is anomalous.
        ValueError: They are not of 8 or 16 bits.
    """
    brightness, hidden, where = _layers(file, path)
    is_hidden = hidden is not None and brightness.min() == brightness.max() and hidden.min() < hidden.max()
    if values == "nonzero":
        return np.asarray((hidden if is_hidden else brightness) != 0, np.bool_)
    if values is not None:
        stored = hidden if is_hidden or file.image.mode == "P" else brightness
        return np.isin(stored, values)
    if is_hidden:
        raise _unclear(path, hidden, f"{where}, but of one brightness")
    limit = above * (_DEEPEST // 255) if brightness.max() > 255 else above
    found = brightness > limit
    shown, where = (hidden, where) if file.image.mode == "P" else (brightness, "")
    if brightness.any() and not found.any():
        raise _unclear(path, shown, f"{where}, but anomalous means brighter than {limit}")
    if _has_regions(brightness, limit // 4, limit):
        raise _unclear(path, shown, f"{where}, of which some regions are and some are not brighter than {limit}")
    return np.asarray(found, np.bool_)


def _layers(file: DecodedImage, path: str | Path) -> tuple[Any, Any, str]:
    """Levels of the brightest channel, what else tells pixels apart (palette or alpha, if there are), and its name."""
    image = file.image
    if image.mode == "F":
        raise ValueError("its levels are floating-point numbers, 8 or 16 bits are needed")
    if exceeds_8_bits(image.mode):
        return levels_16_bit(image), None, ""
    if file.is_cut:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None:
            raise ValueError("its colours of 16 bits cannot be read, save it with 8 bits")
        pixels = np.asarray(turned(np.atleast_3d(pixels), file.orientation), np.uint16)
        return pixels[..., :3].max(axis=2), pixels[..., 3] if pixels.shape[2] > 3 else None, " in its alpha channel"
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L")), None, ""
    # By way of RGBA, as Pillow warns of palettes with transparent entries.
    colours = np.asarray(image.convert("RGBA"))
    if image.mode == "P":
        return colours[..., :3].max(axis=2), np.asarray(image), " in its palette"
    return colours[..., :3].max(axis=2), colours[..., 3], " in its alpha channel"


def _has_regions(levels: npt.NDArray[Any], low: int, high: int) -> bool:
    """Whether a square of three pixels has one level between these; grey edges and loss leave none."""
    between = (levels > low) & (levels <= high)
    if not between.any():
        return False
    levels, square = levels.astype(np.uint16), np.ones((3, 3), np.uint8)
    return bool((between & (cv2.erode(levels, square) == cv2.dilate(levels, square))).any())


def _unclear(path: str | Path, levels: npt.NDArray[Any], why: str) -> InputError:
    return InputError(
        f"{path} is a mask of {_enumerated(np.unique(levels).tolist())}{why}; save it with 0 and 255, or say with "
        "mask_values= which levels are anomalous (a list of them, or 'nonzero' for all but 0)."
    )


def _enumerated(levels: Sequence[int]) -> str:
    shown = [str(each) for each in levels[:_NAMED_AT_MOST]]
    if len(levels) > _NAMED_AT_MOST:
        return f"{', '.join(shown)} and {len(levels) - _NAMED_AT_MOST} more levels"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
