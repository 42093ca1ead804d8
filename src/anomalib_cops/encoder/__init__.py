"""The frozen encoder; the only folder that imports open_clip."""

from anomalib_cops.encoder.frozen_clip import FrozenCLIP, end_of_text
from anomalib_cops.encoder.image import ImageFeatures, ImageTokens
from anomalib_cops.encoder.load import load_clip, native_image_size
from anomalib_cops.encoder.text import Beginning

__all__ = ["Beginning", "FrozenCLIP", "ImageFeatures", "ImageTokens", "end_of_text", "load_clip", "native_image_size"]
