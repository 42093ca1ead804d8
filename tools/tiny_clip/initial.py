"""Weights that are computed rather than learned: the first patch filters and positions, and the scale of features."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anomalib_cops.encoder.frozen_clip import FrozenCLIP
from anomalib_cops.encoder.load import build

_FLOOR = 1e-2
_AMPLITUDE = 0.5
_LENGTH = 0.5


@torch.no_grad()
def whiten_patches(conv: nn.Conv2d, images: Float[Tensor, "batch 3 height width"]) -> None:
    """Set the patch embedding to the whitened principal components of the patches of some images.

    With random filters, each channel mostly repeats the mean brightness of the patch.
    """
    side = conv.kernel_size[0]
    patches = images.unfold(2, side, side).unfold(3, side, side).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(0, 2)
    moments = (patches.T @ patches / len(patches)).double()
    variance, directions = torch.linalg.eigh(moments)
    strongest = variance.argsort(descending=True)[: conv.out_channels]
    filters = directions[:, strongest] / (variance[strongest] + _FLOOR).sqrt()
    conv.weight.copy_(filters.T.reshape(conv.weight.shape))


@torch.no_grad()
def wave_positions(table: Float[Tensor, "positions width"]) -> None:
    """Set patch positions to sines and cosines of their column and row, and the class token's position to zero."""
    grid = math.isqrt(len(table) - 1)
    rows, columns = (
        axis.flatten()[:, None] / grid for axis in torch.meshgrid(*[torch.arange(grid)] * 2, indexing="ij")
    )
    turns = 2 * math.pi * torch.logspace(math.log10(0.25), math.log10(grid / 4), table.shape[1] // 4)
    waves = [wave(axis * turns) for axis in (columns, rows) for wave in (torch.sin, torch.cos)]
    table[0] = 0
    table[1:] = _AMPLITUDE * torch.cat(waves, dim=1)


@torch.no_grad()
def settle_scale(
    state: dict[str, Tensor], config: dict[str, Any], images: Float[Tensor, "batch 3 height width"]
) -> None:
    """Scale the image projection in ``state`` so that entries of class features have a root mean square of ½.

    Training compares cosines, which leave the scale open. Methods that use features as words or reconstruct them need a
    moderate one.
    """
    clip = FrozenCLIP(build(config, state), config["vision_cfg"]["image_size"])
    found = clip.image.encode(images, layers=[clip.depth], local_start=1).cls.square().mean().sqrt()
    state["visual.proj"] *= _LENGTH / found
