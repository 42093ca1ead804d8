"""Choose the number of samples R from which on further samples hardly move the text features of CoPS."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from anomalib_cops.encoder import ImageFeatures
from anomalib_cops.models.cops.noise import fixed_noise
from anomalib_cops.precision import in_full_precision

TOLERANCE = 3e-4
"""Cosine distance by which a text feature, the mean over the samples, may differ from that over all drawn samples."""
MOST_SAMPLES = 32
"""Largest number that is chosen, also if the text features still move more. Twice as many samples are drawn."""


@torch.no_grad()
def enough_samples(model: Any, images: Float[Tensor, "batch 3 height width"]) -> int:
    """Return the smallest number of samples from which on the text features of both states of all images are steady.

    The samples are those that the model uses at test: the first ones of its fixed noise.

    Args:
        model: a ``CoPSModel``.
        images: images of the auxiliary set, normalised; a few suffice.
    """
    if model.vae is None:
        return int(model.settings.n_samples)
    noise = fixed_noise(2 * MOST_SAMPLES, model.clip.dim, model.settings.seed).to(model.noise)
    sampled = []
    # Image by image: one has as many prompts as a small batch at test.
    for image in images.split(1):
        features: ImageFeatures = model.encode(image)
        prototypes = None
        if model.prototypes is not None:
            prototypes = model.prototypes(model.local_features(features).mean(dim=0))
        categories = model.category_tokens(features, noise.unsqueeze(0))
        sampled.append(model.encode_prompts(model.prompts(1, prototypes, categories)))
    return smallest_steady_count(torch.cat(sampled))


@in_full_precision
def smallest_steady_count(sampled: Float[Tensor, "batch states samples dim"]) -> int:
    """Return the smallest number of samples from which on all means are within the tolerance of the mean of all.

    Args:
        sampled: unit text features.

    Returns:
        The number, at most half of those given, as the mean of more resembles the mean of all in any case.
    """
    means = F.normalize(sampled.cumsum(dim=2), dim=-1)[:, :, : sampled.shape[2] // 2]
    everything = F.normalize(sampled.sum(dim=2, keepdim=True), dim=-1)
    is_off = ((1 - (means * everything).sum(dim=-1)) > TOLERANCE).flatten(0, 1).any(dim=0)
    steady_from = int(is_off.nonzero().amax()) + 2 if is_off.any() else 1
    return min(steady_from, means.shape[2])


def use_samples(model: Any, count: int) -> None:
    """Let a ``CoPSModel`` draw another number of samples per image at test."""
    model.settings = replace(model.settings, n_samples=count)
    model.noise = fixed_noise(count, model.clip.dim, model.settings.seed).to(model.noise)
