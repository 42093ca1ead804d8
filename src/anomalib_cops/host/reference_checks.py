"""See that reference images and the images of a run belong together."""

import logging
from collections.abc import Sequence
from statistics import median
from typing import Any

from PIL import Image

from anomalib_cops.data.listed_images import images_of
from anomalib_cops.data.sets.samples import abbreviate
from anomalib_cops.data.synthetic.addresses import is_address
from anomalib_cops.host.rereading import datasets_in_use

logger = logging.getLogger(__name__)
LOOKED_AT = 20
RATIO, SIZE = 1.15, 2.0
"""Factors by which aspect ratio and side of images may differ from those of the references without a warning."""


def tested_images(trainer: Any) -> list[str]:
    """List the image files of a run that has begun; empty if its data does not name them."""
    return [path for data in datasets_in_use(trainer) for path in images_of(data)]


def warn_of_references(shared: list[str]) -> None:
    """Warn of images that are among the references, if there are any."""
    if shared:
        logger.warning(
            "%s: the same as a reference image, so the score says nothing; it will be low.", abbreviate(shared)
        )


def warn_of_other_shape(references: Sequence[str], images: Sequence[str]) -> None:
    """Warn if images have another shape or scale than the references, as both are resized to the model's square."""
    theirs, ours = _usual_size(references), _usual_size(images)
    if theirs is None or ours is None:
        return
    ratio = (theirs[0] / theirs[1]) / (ours[0] / ours[1])
    scale = (theirs[0] * theirs[1] / (ours[0] * ours[1])) ** 0.5
    if not (1 / RATIO <= ratio <= RATIO and 1 / SIZE <= scale <= SIZE):
        logger.warning(
            "The reference images have about %d x %d pixels and the images %d x %d: take references with the same "
            "camera and framing, as both are resized to the same square.",
            *(*theirs, *ours),
        )


def _usual_size(paths: Sequence[str]) -> tuple[float, float] | None:
    """Return the median width and height of some images, from their headers."""
    sizes = []
    for path in paths[:: 1 + len(paths) // LOOKED_AT]:
        if not is_address(path):
            try:
                with Image.open(path) as image:
                    sizes.append(image.size)
            except OSError:  # reading the image itself reports this
                continue
    return (median(width for width, _ in sizes), median(height for _, height in sizes)) if sizes else None
