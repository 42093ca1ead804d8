"""The frozen encoder; the only folder that imports open_clip."""

from anomalib_cops.clip.encoder import FrozenCLIP, end_of_text
from anomalib_cops.clip.load import load_clip, native_image_size
from anomalib_cops.clip.text import Beginning
from anomalib_cops.clip.vision import ImageFeatures, ImageTokens

__all__ = ["Beginning", "FrozenCLIP", "ImageFeatures", "ImageTokens", "end_of_text", "load_clip", "native_image_size"]
