"""An image and its mask, read so that they lie on each other."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from anomalib_cops.data.decoding import DecodedImage, open_image, turned
from anomalib_cops.data.images import rgb
from anomalib_cops.data.masks import MASK_ABOVE, MaskValues, anomalous_pixels
from anomalib_cops.errors import InputError


def read_image_and_mask(
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
        InputError: A file cannot be read, a mask does not say what is anomalous, or the two do not fit.
    """
    with open_image(image_path) as image:
        levels = rgb(image.image)
    with open_image(mask_path) as file:
        mask = anomalous_pixels(file, mask_path, above, values)
    return levels, align_mask(mask, file, mask_path, image, image_path)


def align_mask(
    mask: npt.NDArray[np.bool_], file: DecodedImage, mask_path: str | Path, image: DecodedImage, image_path: str | Path
) -> npt.NDArray[np.bool_]:
    """The pixels of a mask as those of its image, both the right way up; shape (height, width).

    Args:
        mask: The right way up as far as its own file says; shape (height, width).
        file: Where it is from.
        mask_path: The same, for the message.
        image: Its image.
        image_path: The same, for the message.

    Raises:
        InputError: The two differ in size, or the image is stored turned and the mask would fit both ways.
    """
    shown = image.image.size[::-1]
    stored = shown[::-1] if image.orientation >= 5 else shown
    if mask.shape == stored and not file.is_turned:
        as_image = np.asarray(turned(mask, image.orientation), np.bool_)
        if shown == stored and not np.array_equal(as_image, mask):
            raise InputError(
                f"{image_path} is stored turned (EXIF orientation {image.orientation}), and its mask {mask_path} may "
                "be meant for the picture as stored or as shown; save the image the right way up."
            )
        mask = as_image
    if mask.shape != shown:
        has, needs = (f"{width}x{height}" for height, width in (mask.shape, shown))
        raise InputError(f"the mask {mask_path} has {has} pixels, but its image {image_path} {needs}; make them equal.")
    return mask
