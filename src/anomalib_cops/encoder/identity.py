"""What distinguishes one frozen encoder from another, so that prompts are only used with the one they learned on."""

import hashlib
from dataclasses import dataclass

import torch

from anomalib_cops.encoder.blocks import OpenClipModule

UNUSED = "logit_scale"
"""The only weight that no method uses; copies of the same weights may differ in it."""


@dataclass(frozen=True)
class EncoderIdentity:
    """The frozen CLIP that prompts were trained on.

    Attributes:
        backbone: open_clip model name, or "tiny".
        image_size: side of the images in pixels.
        quick_gelu: whether the activation is QuickGELU; None if unknown, as in files of the first version.
        pretrained: open_clip tag or file of the weights; empty if unknown.
        digest: SHA-256 of the weights' values, see :func:`weights_digest`; empty if unknown.
    """

    backbone: str
    image_size: int
    quick_gelu: bool | None = None
    pretrained: str = ""
    digest: str = ""


def weights_digest(model: OpenClipModule) -> str:
    """Return the SHA-256 of the values of all weights in use, rounded to half precision.

    The same weights are published in half and in full precision; both copies have the same digest.
    """
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if name != UNUSED:
            digest.update(f"{name} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().half().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def uses_quick_gelu(model: OpenClipModule) -> bool:
    """Return whether the blocks were built with QuickGELU, x * sigmoid(1.702 x), rather than the exact GELU."""
    return any(type(block.mlp.gelu).__name__ == "QuickGELU" for block in model.transformer.resblocks)
