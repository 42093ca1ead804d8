"""Losses that several methods share: pure functions of probabilities and targets, computed in float32 or better."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from anomalib_cops.precision import in_full_precision


@in_full_precision
def focal_loss(
    probability: Float[Tensor, "batch states *size"],
    target: Float[Tensor, " batch *size"],
    *,
    gamma: float = 2.0,
    smooth: float = 1e-5,
) -> Float[Tensor, ""]:
    """Return the focal loss (Lin et al. 2017) of two-state probabilities, with targets clamped away from 0 and 1.

    Args:
        probability: probabilities of normal and anomalous, which sum to one.
        target: 1 where anomalous, else 0.
        gamma: exponent that reduces the weight of well-classified elements.
        smooth: distance of the one-hot targets from 0 and 1; also added to the argument of the logarithm.
    """
    hot = torch.stack([1 - target, target], dim=1).clamp(smooth, 1 - smooth)
    correct = (hot * probability).sum(dim=1) + smooth
    return (-((1 - correct) ** gamma) * correct.log()).mean()


@in_full_precision
def dice_loss(
    probability: Float[Tensor, " batch *size"], target: Float[Tensor, " batch *size"], *, smooth: float = 1.0
) -> Float[Tensor, ""]:
    """Return one minus the Dice overlap of each image, averaged over the batch (Milletari et al. 2016).

    Args:
        probability: probability that each element is in the target.
        target: 1 in the target, else 0.
        smooth: added to numerator and denominator.
    """
    probability, target = probability.flatten(1), target.flatten(1)
    overlap = 2 * (probability * target).sum(dim=1) + smooth
    return (1 - overlap / (probability.sum(dim=1) + target.sum(dim=1) + smooth)).mean()


@in_full_precision
def binary_cross_entropy(
    probability: Float[Tensor, " batch *size"], target: Float[Tensor, " batch *size"]
) -> Float[Tensor, ""]:
    """Return the mean binary cross entropy of anomaly probabilities."""
    return F.binary_cross_entropy(probability, target)


@in_full_precision
def kl_to_standard_normal(
    mean: Float[Tensor, "batch dim"], log_variance: Float[Tensor, "batch dim"]
) -> Float[Tensor, ""]:
    """Return the KL divergence of diagonal Gaussians from N(0, I), summed over dim, averaged over the batch."""
    return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=-1).mean()
