"""What distinguishes one frozen encoder from another, so that prompts are only used with the one they learned on."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from anomalib_cops.encoder.blocks import ForeignModule
from anomalib_cops.encoder.normalisation import CLIP_MEAN, CLIP_STD, ChannelValues
from anomalib_cops.encoder.text import text_module

UNUSED = ("logit_scale", "logit_bias")
"""Weights that no method uses; copies of the same weights may differ in them."""


@dataclass(frozen=True)
class EncoderIdentity:
    """The frozen encoder that a model was trained on.

    Attributes:
        backbone: model name of open_clip, or of timm for an image tower without a text tower, or of a stand-in.
        image_size: side of the images in pixels.
        quick_gelu: whether the activation is QuickGELU; None if unknown, as in files of the first version.
        pretrained: tag or file of the weights; empty if unknown.
        digest: SHA-256 of the weights' values, see :func:`weights_digest`; empty if unknown.
        mean: mean of each colour channel, in [0, 1], that images are normalised with.
        std: standard deviation of each colour channel that images are normalised with.
    """

    backbone: str
    image_size: int
    quick_gelu: bool | None = None
    pretrained: str = ""
    digest: str = ""
    mean: ChannelValues = CLIP_MEAN
    std: ChannelValues = CLIP_STD

    def record(self) -> dict[str, Any]:
        """Return the identity as plain data for weight files, with ``mean`` and ``std`` only if they are not CLIP's.

        Earlier versions normalise all images with CLIP's values. They read records without the two, and refuse others.
        """
        record = asdict(self)
        if (self.mean, self.std) == (CLIP_MEAN, CLIP_STD):
            del record["mean"], record["std"]
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "EncoderIdentity":
        """Return the identity that :meth:`record` was made of.

        Raises:
            TypeError: the record has an unknown entry, lacks one, or has a mean or std that is no list.
            ValueError: a mean or std is not a list of three numbers.
        """
        return cls(**{**record, **{name: _three(record[name]) for name in ("mean", "std") if name in record}})


def weights_digest(model: ForeignModule) -> str:
    """Return the SHA-256 of the values of all weights in use, rounded to half precision.

    The same weights are published in half and in full precision; both copies have the same digest. It is empty for a
    model without values, on torch's meta device.
    """
    if any(value.is_meta for value in model.state_dict().values()):
        return ""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if name not in UNUSED:
            digest.update(f"{name} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().half().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def uses_quick_gelu(model: ForeignModule) -> bool:
    """Return whether the blocks were built with QuickGELU, x * sigmoid(1.702 x), rather than the exact GELU.

    It is read from the text tower, as timm's image towers never have it.
    """
    text = text_module(model)
    return text is not None and any(
        type(block.mlp.gelu).__name__ == "QuickGELU" for block in text.transformer.resblocks
    )


def _three(values: Any) -> ChannelValues:
    red, green, blue = map(float, values)
    return red, green, blue
