"""The frozen encoder; the only folder that imports open_clip."""

from anomalib_cops.clip.encoder import FrozenCLIP
from anomalib_cops.clip.load import load_clip, native_image_size
from anomalib_cops.clip.vision import ImageFeatures

__all__ = ["FrozenCLIP", "ImageFeatures", "load_clip", "native_image_size"]
