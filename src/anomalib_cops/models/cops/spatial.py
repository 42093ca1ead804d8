"""SAGA, spatially-aware global-local alignment: prototype distances weigh the patches (CoPS, "SAGA")."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from anomalib_cops.alignment import stretch


def min_max(
    distance: Float[Tensor, "batch patches"], over: Literal["image", "batch"] = "image"
) -> Float[Tensor, "batch patches"]:
    """Stretch distances to [0, 1]; constant distances become 0 (the official code divides 0 by 0).

    Args:
        distance: to the nearest prototype.
        over: take the extremes of each image, or of the whole batch as the official code does.
    """
    low, high = distance, distance
    if over == "image":
        low, high = low.amin(dim=1, keepdim=True), high.amax(dim=1, keepdim=True)
    else:
        low, high = low.amin(), high.amax()
    return stretch(distance, low, high)


def distance_weight(
    far_from_normal: Float[Tensor, "batch patches"],
    near_anomalous: Float[Tensor, "batch patches"],
    alpha: float,
) -> Float[Tensor, "batch patches"]:
    """Spatial attention in [0, 1]: high far from normal and near anomalous prototypes.

    Args:
        far_from_normal: stretched distance to the nearest normal prototype.
        near_anomalous: one minus the stretched distance to the nearest anomalous prototype.
        alpha: share of the normal prototypes.
    """
    return alpha * far_from_normal + (1 - alpha) * near_anomalous


def glocal_score(
    image_probability: Float[Tensor, " batch"], patch_probability: Float[Tensor, "batch patches"], beta: float
) -> Float[Tensor, " batch"]:
    """Image score: global probability and the strongest patch.

    Args:
        image_probability: of being anomalous, from the global feature.
        patch_probability: of being anomalous, weighted, before it is enlarged and smoothed.
        beta: share of the global probability.
    """
    return beta * image_probability + (1 - beta) * patch_probability.amax(dim=1)
