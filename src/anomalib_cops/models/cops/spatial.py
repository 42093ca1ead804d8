"""SAGA, spatially-aware global-local alignment: weigh patches by their distance to prototypes (CoPS, "SAGA")."""

from typing import Literal

import torch
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


def layer_weights(
    normal: Float[Tensor, "batch patches"],
    anomalous: Float[Tensor, "batch patches"],
    layers: int,
    alpha: float,
    *,
    over: Literal["image", "batch"] = "image",
    flip: bool = False,
) -> Float[Tensor, "layers batch patches"]:
    """Return the spatial weight of every patch in every layer, in [0, 1]; all layers have the same unless flipped.

    Args:
        normal: distance to the nearest normal prototype.
        anomalous: distance to the nearest anomalous prototype.
        layers: number of layers.
        alpha: share of the normal prototypes.
        over: as for :func:`min_max`.
        flip: invert the stretched anomalous distances again at every further layer, as the official code does.
    """
    far_from_normal, near_anomalous = min_max(normal, over), 1 - min_max(anomalous, over)
    weights = []
    for _ in range(layers):
        weights.append(distance_weight(far_from_normal, near_anomalous, alpha))
        if flip:
            near_anomalous = 1 - near_anomalous
    return torch.stack(weights)


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
