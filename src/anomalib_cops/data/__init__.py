"""Labelled data: transfer between data sets, readers of images and masks, and synthetic pictures."""

# Keep this first: importing anomalib registers our classes, which imports the modules below in a safe order.
import anomalib.data  # noqa: F401

from anomalib_cops.data.dataset import LabelledImages
from anomalib_cops.data.sets.find import discover
from anomalib_cops.data.transfer import ZeroShotTransfer
from anomalib_cops.data.unlabelled import UnlabelledImages
from anomalib_cops.images.reading import check_images, read_image

__all__ = ["LabelledImages", "UnlabelledImages", "ZeroShotTransfer", "check_images", "discover", "read_image"]
