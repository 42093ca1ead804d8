"""SAGA, spatially-aware global-local alignment: weigh patches by their distance to prototypes (CoPS, "SAGA")."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from anomalib_cops.alignment import stretch


def min_max(
    distance: Float[Tensor, "batch patches"], over: Literal["image", "batch"] = "image"
) -> Float[Tensor, "batch patches"]:
    """Stretch distances to [0, 1]; constant distances become 0 (the official code divides 0 by 0).

    Args:
        distance: distance to the nearest prototype.
        over: use the extremes of each image, or those of the whole batch as the official code does.
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
    """Return the spatial weight in [0, 1], which is high far from normal and near anomalous prototypes.

    Args:
        far_from_normal: stretched distance to the nearest normal prototype.
        near_anomalous: one minus the stretched distance to the nearest anomalous prototype.
        alpha: share of the normal prototypes.
    """
    return alpha * far_from_normal + (1 - alpha) * near_anomalous


def glocal_score(
    image_probability: Float[Tensor, " batch"], patch_probability: Float[Tensor, "batch patches"], beta: float
) -> Float[Tensor, " batch"]:
    """Return the image score, a weighted mean of the global probability and that of the strongest patch.

    Args:
        image_probability: anomaly probability from the global feature.
        patch_probability: weighted anomaly probability of each patch, before enlarging and smoothing.
        beta: share of the global probability, in [0, 1].
    """
    return beta * image_probability + (1 - beta) * patch_probability.amax(dim=1)
