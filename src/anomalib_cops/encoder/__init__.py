"""The frozen encoder, a CLIP of open_clip: an image tower, a text tower, and how they are loaded.

Some methods also take an image tower without a text tower, one of timm's. Only this folder imports open_clip and timm.

Blocks are counted from 0, like the lists that hold them, both here and in ``prompts``; None stands for no block. The
exceptions are ``layers`` and ``local_start`` of :class:`ImageTower`, which are 1-based numbers of blocks because users
and weight files give them so: layer n is what leaves block n - 1.
"""

from anomalib_cops.encoder.frozen_clip import FrozenCLIP
from anomalib_cops.encoder.identity import EncoderIdentity
from anomalib_cops.encoder.image import ImageFeatures, ImageTokens, ImageTower, quarters
from anomalib_cops.encoder.image_only import image_only_names
from anomalib_cops.encoder.load import load_clip, native_image_size
from anomalib_cops.encoder.text import PrefixCache, TextTower

__all__ = [
    "EncoderIdentity",
    "FrozenCLIP",
    "ImageFeatures",
    "ImageTokens",
    "ImageTower",
    "PrefixCache",
    "TextTower",
    "image_only_names",
    "load_clip",
    "native_image_size",
    "quarters",
]
