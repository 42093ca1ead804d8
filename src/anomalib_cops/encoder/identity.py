"""What tells one frozen encoder from another, so that prompts never meet weights they were not trained on."""

import hashlib

import torch

from anomalib_cops.encoder.blocks import OpenClipModule

UNUSED = "logit_scale"


def weights_digest(model: OpenClipModule) -> str:
    """SHA-256 of the values of all weights that are used, in half precision.

    Published weights come in half and in full precision; both copies of the same weights have one digest.
    """
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if name != UNUSED:
            digest.update(f"{name} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().half().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def uses_quick_gelu(model: OpenClipModule) -> bool:
    """Whether the blocks were built with QuickGELU, x * sigmoid(1.702 x), rather than the exact GELU."""
    return any(type(block.mlp.gelu).__name__ == "QuickGELU" for block in model.transformer.resblocks)
