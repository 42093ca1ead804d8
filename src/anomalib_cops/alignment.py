"""Compute probabilities and anomaly maps from image and text features: pure functions, in float32 or better."""

from math import isqrt

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from anomalib_cops.precision import in_full_precision

TEMPERATURE = 0.07
"""Temperature of the softmax over states, by which cosines are divided."""


@in_full_precision
def unit(vectors: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape dim"]:
    """Normalise vectors to length one."""
    return F.normalize(vectors, dim=-1)


@in_full_precision
def cosine(
    features: Float[Tensor, "*batch patches dim"], text: Float[Tensor, "*batch states dim"]
) -> Float[Tensor, "*batch patches states"]:
    """Return the cosine between every image vector and the unit text vector of every state."""
    return F.normalize(features, dim=-1) @ text.mT


@in_full_precision
def probabilities(
    cosines: Float[Tensor, "*batch states"], temperature: float = TEMPERATURE
) -> Float[Tensor, "*batch states"]:
    """Return the probability of each state, the softmax of the cosines over the temperature."""
    return (cosines / temperature).softmax(dim=-1)


def to_grid(patches: Float[Tensor, "*batch patches"]) -> Float[Tensor, "*batch rows columns"]:
    """Arrange patches, given row by row, as a square."""
    side = isqrt(patches.shape[-1])
    return patches.unflatten(-1, (side, side))


def enlarge(maps: Float[Tensor, "batch channels rows columns"], size: int) -> Float[Tensor, "batch channels size size"]:
    """Enlarge maps to the image by repeating the nearest patch's value, as CoPS does."""
    return F.interpolate(maps, size=(size, size), mode="nearest")


def enlarge_smoothly(
    maps: Float[Tensor, "batch channels rows columns"], size: int, *, align_corners: bool
) -> Float[Tensor, "batch channels size size"]:
    """Enlarge maps to the image bilinearly, as AnomalyCLIP, AdaCLIP and VCP-CLIP do.

    Args:
        maps: one value per patch.
        size: side of the image in pixels.
        align_corners: place the outermost values on the image's corners rather than at the centres of their patches.
    """
    return F.interpolate(maps, size=(size, size), mode="bilinear", align_corners=align_corners)


def stretch(
    values: Float[Tensor, "*shape"], low: Float[Tensor, "*#shape"], high: Float[Tensor, "*#shape"]
) -> Float[Tensor, "*shape"]:
    """Map ``low`` to 0 and ``high`` to 1 linearly; where both are equal, all values become 0.

    Args:
        values: values between ``low`` and ``high``.
        low: smallest value, overall or along axes that are kept with size 1.
        high: largest value, likewise.
    """
    spread = high - low
    return (values - low) / torch.where(spread > 0, spread, torch.ones_like(spread))


@in_full_precision
def gaussian_smooth(
    maps: Float[Tensor, "batch height width"], sigma: float, truncate: float = 4.0
) -> Float[Tensor, "batch height width"]:
    """Smooth maps with a Gaussian; borders are mirrored, edge pixel included, as in ``scipy.ndimage.gaussian_filter``.

    Args:
        maps: anomaly maps.
        sigma: standard deviation in pixels; with 0 the maps stay as they are.
        truncate: radius of the kernel in standard deviations.
    """
    if sigma == 0:
        return maps
    radius = int(truncate * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, device=maps.device, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(maps.dtype)
    height, width = maps.shape[-2:]
    mirrored = maps[:, _mirror(height, radius, maps.device)][:, :, _mirror(width, radius, maps.device)]
    smoothed = F.conv2d(mirrored.unsqueeze(1), kernel.view(1, 1, -1, 1))
    return F.conv2d(smoothed, kernel.view(1, 1, 1, -1)).squeeze(1)


def _mirror(length: int, radius: int, device: torch.device) -> Tensor:
    """Return indices that extend a line by mirroring it at its edges, as often as needed: (c b a | a b c | c b a)."""
    index = torch.arange(-radius, length + radius, device=device) % (2 * length)
    return torch.minimum(index, 2 * length - 1 - index)
