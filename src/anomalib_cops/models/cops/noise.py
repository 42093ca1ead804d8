"""Draw the standard normal noise from which CoPS decodes category tokens at test."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor


def fixed_noise(samples: int, dim: int, seed: int) -> Float[Tensor, "samples dim"]:
    """Draw standard normal noise that depends on the seed alone.

    A longer draw begins with the rows of a shorter one if ``dim`` is a multiple of 16, as that of CLIP is: torch fills
    the tensor row by row, 16 numbers at a time.
    """
    return torch.randn(samples, dim, generator=torch.Generator().manual_seed(seed))


def noise_of_batch(
    fixed: Float[Tensor, "samples dim"], batch: int, kind: Literal["fixed", "stream"]
) -> Float[Tensor, "batch samples dim"]:
    """Return the same fixed noise for every image, or new noise drawn as the official code does."""
    if kind == "fixed":
        return fixed.expand(batch, -1, -1)
    # The official code draws (samples, batch, dim) and cuts the flattened rows into one group per image.
    samples, dim = fixed.shape
    return torch.randn(samples, batch, dim, device=fixed.device).reshape(batch, samples, dim)
