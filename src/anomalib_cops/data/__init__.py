"""Data: transfer between data sets, and the synthetic world."""

# First of all: anomalib's import registers our classes, which imports the modules below while none is half-way.
import anomalib.data  # noqa: F401

from anomalib_cops.data.dataset import LabelledImages
from anomalib_cops.data.images import check_images, read_image
from anomalib_cops.data.sets.find import discover
from anomalib_cops.data.transfer import ZeroShotTransfer

__all__ = ["LabelledImages", "ZeroShotTransfer", "check_images", "discover", "read_image"]
