"""Loss terms of CoPS that compare images and pixels with their labels, as the official code or the paper has them."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from anomalib_cops.alignment import TEMPERATURE, enlarge, probabilities, to_grid
from anomalib_cops.losses import binary_cross_entropy, dice_loss, focal_loss

EXTRA_PATCH_WEIGHT = 3.0
"""Added to the patch loss's weight of one, so that it counts four times."""


def image_loss(
    cosines: Float[Tensor, "batch states"], labels: Float[Tensor, " batch"], objective: str
) -> Float[Tensor, ""]:
    """Return the cross entropy of the global alignment, or its focal loss with the paper's objective.

    Args:
        cosines: cosine of each image's global feature and the text feature of each state.
        labels: 1 for anomalous images, 0 for normal ones.
        objective: "official" or "paper".
    """
    if objective == "paper":
        return focal_loss(probabilities(cosines), labels)
    return F.cross_entropy(cosines / TEMPERATURE, labels.long())


def patch_loss(
    patches: Float[Tensor, "layers batch patches states"], masks: Float[Tensor, "batch height width"], objective: str
) -> Float[Tensor, ""]:
    """Return focal and two Dice losses of the enlarged maps, or the paper's Dice loss and cross entropy.

    Args:
        patches: probability of each state at every patch of every layer.
        masks: 1 where anomalous, 0 elsewhere, at image size.
        objective: "official" or "paper".
    """
    maps = torch.stack([enlarge(to_grid(layer.mT), masks.shape[-1]) for layer in patches])
    if objective == "paper":
        terms = [dice_loss(m[:, 1], masks) + binary_cross_entropy(m[:, 1], masks) for m in maps]
    else:
        pairs = [(m, *m.unbind(dim=1)) for m in maps]
        terms = [
            focal_loss(both, masks) + dice_loss(anomalous, masks) + dice_loss(normal, 1 - masks)
            for both, normal, anomalous in pairs
        ]
    return torch.stack(terms).mean()
