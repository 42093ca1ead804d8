"""An image and its mask, read so that they lie on each other."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from anomalib_cops.data.decoding import opened, turned
from anomalib_cops.data.images import rgb
from anomalib_cops.data.masks import MASK_ABOVE, MaskValues, anomalous_pixels
from anomalib_cops.errors import InputError


class UnclearPlace(InputError):
    """A mask that may be meant for its image as it is stored or as it is shown."""


def read_pair(
    image_path: str | Path, mask_path: str | Path, above: int = MASK_ABOVE, values: MaskValues = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Reads an image and its mask, both the right way up.

    An image that its file stores turned (EXIF orientation) may have a mask that says the same of itself, or one of the
    size as shown, or one of the size as stored, which is turned with the image.

    Args:
        image_path: As :func:`~anomalib_cops.data.images.read_image` takes it.
        mask_path: As :func:`~anomalib_cops.data.masks.read_mask` takes it.
        above: As there.
        values: As there.

    Returns:
        RGB levels of shape (height, width, 3) and the anomalous pixels of shape (height, width).

    Raises:
        UnclearPlace: The image is stored turned, and its mask would fit both ways.
        InputError: A file cannot be read, or the two differ in size.
    """
    with opened(image_path) as file:
        levels, orientation = rgb(file.image), file.orientation
    with opened(mask_path) as file:
        mask = anomalous_pixels(file, mask_path, above, values)
        says_itself = file.is_turned
    shown = levels.shape[:2]
    stored = shown[::-1] if orientation >= 5 else shown
    as_image: npt.NDArray[np.bool_] = turned(mask, orientation)  # type: ignore[assignment]
    if mask.shape == stored and not says_itself:
        if shown == stored and not np.array_equal(as_image, mask):
            raise UnclearPlace(
                f"{image_path} is stored turned (EXIF orientation {orientation}), and its mask {mask_path} may be "
                "meant for either way; save the image the right way up, or its orientation in the mask as well."
            )
        mask = as_image
    if mask.shape != shown:
        has, needs = (f"{width}x{height}" for height, width in (mask.shape, shown))
        raise InputError(f"the mask {mask_path} has {has} pixels, but its image {image_path} {needs}; make them equal.")
    return levels, mask
