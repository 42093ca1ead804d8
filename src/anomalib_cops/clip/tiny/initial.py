"""Where training starts: a patch embedding and positions that already say something, so that fewer pictures do."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

_FLOOR = 1e-2
_AMPLITUDE = 0.5


@torch.no_grad()
def whiten_patches(conv: nn.Conv2d, images: Float[Tensor, "batch 3 height width"]) -> None:
    """Makes the patch embedding the whitened principal components of real patches.

    With random filters every channel mostly repeats the patch's mean brightness.
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
    """Makes the patches' positions sines and cosines of their column and row; the class token's is zero."""
    grid = math.isqrt(len(table) - 1)
    rows, columns = (
        axis.flatten()[:, None] / grid for axis in torch.meshgrid(*[torch.arange(grid)] * 2, indexing="ij")
    )
    turns = 2 * math.pi * torch.logspace(math.log10(0.25), math.log10(grid / 4), table.shape[1] // 4)
    waves = [wave(axis * turns) for axis in (columns, rows) for wave in (torch.sin, torch.cos)]
    table[0] = 0
    table[1:] = _AMPLITUDE * torch.cat(waves, dim=1)
