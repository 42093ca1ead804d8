"""Images read together with their masks, so that every pixel of the mask belongs to the same pixel of the image."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from anomalib_cops.data.masks import MASK_ABOVE, MaskValues, anomalous_pixels
from anomalib_cops.errors import InputError
from anomalib_cops.images.decoding import DecodedImage, open_image, turn_upright
from anomalib_cops.images.reading import to_rgb


def read_image_and_mask(
    image_path: str | Path, mask_path: str | Path, above: int = MASK_ABOVE, values: MaskValues = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Read an image and its mask, both the right way up.

    If the file stores the image turned (EXIF orientation), the mask may have the same orientation, or the size of the
    image as shown, or its size as stored; in the last case the mask is turned with the image.

    Args:
        image_path: As for :func:`~anomalib_cops.images.reading.read_image`.
        mask_path: As for :func:`~anomalib_cops.data.masks.read_mask`.
        above: As for ``read_mask``.
        values: As for ``read_mask``.

    Returns:
        RGB levels of shape (height, width, 3) and the anomalous pixels of shape (height, width).

    Raises:
        InputError: A file cannot be read, the mask does not tell which pixels are anomalous, or the two do not fit.
    """
    with open_image(image_path) as image:
        levels = to_rgb(image.image)
    with open_image(mask_path) as file:
        mask = anomalous_pixels(file, mask_path, above, values)
    return levels, align_mask(mask, file, mask_path, image, image_path)


def align_mask(
    mask: npt.NDArray[np.bool_], file: DecodedImage, mask_path: str | Path, image: DecodedImage, image_path: str | Path
) -> npt.NDArray[np.bool_]:
    """Turn a mask so that it fits its image, which is the right way up.

    Args:
        mask: Anomalous pixels, turned by the orientation of the mask's own file; shape (height, width).
        file: The decoded mask.
        mask_path: File of the mask, for the message.
        image: The decoded image.
        image_path: File of the image, for the message.

    Returns:
        The anomalous pixels of the image; shape (height, width).

    Raises:
        InputError: The two differ in size, or the image is stored turned and the mask would fit both ways.
    """
    shown = image.image.size[::-1]
    stored = shown[::-1] if image.orientation >= 5 else shown
    if mask.shape == stored and not file.is_turned:
        turned = np.asarray(turn_upright(mask, image.orientation), np.bool_)
        if shown == stored and not np.array_equal(turned, mask):
            raise InputError(
                f"{image_path} is stored turned (EXIF orientation {image.orientation}), and its mask {mask_path} may "
                "be meant for the picture as stored or as shown; save the image the right way up."
            )
        mask = turned
    if mask.shape != shown:
        has, needs = (f"{width}x{height}" for height, width in (mask.shape, shown))
        raise InputError(f"the mask {mask_path} has {has} pixels, but its image {image_path} {needs}; make them equal.")
    return mask
