"""Masks: read which pixels are anomalous, and refuse a mask whose levels do not tell."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from anomalib_cops.errors import InputError
from anomalib_cops.images.decoding import DecodedImage, exceeds_8_bits, levels_16_bit, open_image, turn_upright

MASK_ABOVE = 127
"""Default grey level above which a pixel is anomalous; users often save masks with lossy compression."""

MaskValues = tuple[int, ...] | Literal["nonzero"] | None
"""Levels of a mask that are anomalous: those listed, or all but 0; None leaves the decision to a threshold."""

_MAX_LEVEL = 65535
_NAMED_AT_MOST = 8


def read_mask(path: str | Path, above: int = MASK_ABOVE, values: MaskValues = None) -> npt.NDArray[np.bool_]:
    """Read a mask file, shape (height, width), the right way up.

    A mask may have no anomalous pixel.

    Args:
        path: The file.
        above: A pixel is anomalous if the level of its brightest channel is above this, in [0, 254] on the scale to
            255; for a mask with levels above 255 it is scaled to 65535.
        values: The levels that are anomalous, or "nonzero" for all but 0; then ``above`` is ignored. The level of a
            pixel is that of its brightest channel, its index in a palette, or its alpha if all colours are the same.

    Raises:
        InputError: As :func:`~anomalib_cops.images.reading.read_image`; or, without ``values``, the levels do not tell
            which pixels are anomalous: there are levels above 0, but none above the threshold; or whole regions lie
            above 0 on either side of it; or only palette or alpha tell pixels apart.
    """
    with open_image(path) as file:
        return anomalous_pixels(file, path, above, values)


def parse_mask_values(given: Any) -> MaskValues:
    """Parse the ``mask_values`` of a user; None and an empty text give None.

    Raises:
        InputError: The value is neither a level or a list of levels, nor "nonzero".
    """
    if given is None or given == "":
        return None
    if given in ("nonzero", ["nonzero"]):
        return "nonzero"
    several = list(given) if isinstance(given, (list, tuple)) else [given]
    if not several or not all(type(each) is int and 0 <= each <= _MAX_LEVEL for each in several):
        raise InputError(
            f"mask_values={given} is not understood; give the levels of masks that are anomalous as a list of numbers "
            f"from 0 to {_MAX_LEVEL}, or 'nonzero' for all but 0."
        )
    return tuple(sorted(set(several)))


def anomalous_pixels(file: DecodedImage, path: str | Path, above: int, values: MaskValues) -> npt.NDArray[np.bool_]:
    """Return the anomalous pixels of a decoded mask, as :func:`read_mask` does.

    Raises:
        InputError: The levels do not tell which pixels are anomalous.
        ValueError: The levels cannot be read with 8 or 16 bits.
    """
    brightness, hidden, where = _channels(file, path)
    is_hidden = hidden is not None and brightness.min() == brightness.max() and hidden.min() < hidden.max()
    if values == "nonzero":
        return np.asarray((hidden if is_hidden else brightness) != 0, np.bool_)
    if values is not None:
        stored = hidden if is_hidden or file.image.mode == "P" else brightness
        return np.isin(stored, values)
    if is_hidden:
        raise _unclear(path, hidden, f"{where}, but of one brightness")
    limit = above * (_MAX_LEVEL // 255) if brightness.max() > 255 else above
    found = brightness > limit
    shown, where = (hidden, where) if file.image.mode == "P" else (brightness, "")
    if brightness.any() and not found.any():
        raise _unclear(path, shown, f"{where}, but anomalous means brighter than {limit}")
    if _has_regions(brightness, limit // 4, limit):
        raise _unclear(path, shown, f"{where}, of which some regions are and some are not brighter than {limit}")
    return np.asarray(found, np.bool_)


def _channels(file: DecodedImage, path: str | Path) -> tuple[Any, Any, str]:
    """Return the levels of the brightest channel, those of a palette or alpha channel if there is one, and its name."""
    image = file.image
    if image.mode == "F":
        raise ValueError("its levels are floating-point numbers, 8 or 16 bits are needed")
    if exceeds_8_bits(image.mode):
        return levels_16_bit(image), None, ""
    if file.is_truncated:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None:
            raise ValueError("its colours of 16 bits cannot be read, save it with 8 bits")
        pixels = np.asarray(turn_upright(np.atleast_3d(pixels), file.orientation), np.uint16)
        return pixels[..., :3].max(axis=2), pixels[..., 3] if pixels.shape[2] > 3 else None, " in its alpha channel"
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L")), None, ""
    # Pillow warns of palettes with transparent entries unless they are converted to RGBA.
    colours = np.asarray(image.convert("RGBA"))
    if image.mode == "P":
        return colours[..., :3].max(axis=2), np.asarray(image), " in its palette"
    return colours[..., :3].max(axis=2), colours[..., 3], " in its alpha channel"


def _has_regions(levels: npt.NDArray[Any], low: int, high: int) -> bool:
    """Tell whether a square of 3 x 3 pixels has one level in (low, high]; grey edges and compression leave no such."""
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
