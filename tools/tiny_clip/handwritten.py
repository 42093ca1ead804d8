"""Measure the tiny CLIP without learned prompts: hand-written sentences on synthetic pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import binary_auroc

from anomalib_cops.data.synthetic import CATEGORIES, WORLDS, draw
from anomalib_cops.encoder.frozen_clip import FrozenCLIP
from anomalib_cops.prompts.wording import TEMPLATES, noun, sentences
from tools.tiny_clip.pool import normalise

TEMPERATURE = 0.07
ALL_CATEGORIES = tuple(category for categories in WORLDS.values() for category in categories)


@dataclass(frozen=True)
class Pictures:
    """Labelled pictures.

    Attributes:
        images: RGB levels from 0 to 255.
        masks: anomalous pixels.
        labels: whether the picture shows a defect.
        categories: index into ``ALL_CATEGORIES``.
    """

    images: UInt8[Tensor, "batch height width 3"]
    masks: Bool[Tensor, "batch height width"]
    labels: Bool[Tensor, " batch"]
    categories: Int[Tensor, " batch"]

    @classmethod
    def draw(
        cls, per_category: int, *, seed: int, size: int, level: str = "mixed", categories: Sequence[str] = CATEGORIES
    ) -> "Pictures":
        """Draw ``per_category`` good and as many anomalous pictures of every category, each of another product."""
        drawn = [
            draw(category, 2 * index + anomalous, seed=seed, anomalous=bool(anomalous), size=size, level=level)
            for category in categories
            for index in range(per_category)
            for anomalous in (0, 1)
        ]
        return cls(
            images=torch.from_numpy(np.stack([sample.image for sample in drawn])),
            masks=torch.from_numpy(np.stack([sample.mask for sample in drawn])),
            labels=torch.tensor([sample.defect != "good" for sample in drawn]),
            categories=torch.tensor([ALL_CATEGORIES.index(sample.category) for sample in drawn]),
        )


@torch.no_grad()
def state_features(clip: FrozenCLIP, category: str) -> Float[Tensor, "2 dim"]:
    """Return the unit features of the normal and the anomalous state, each the mean over all sentences about it."""
    both = [
        F.normalize(clip.text.encode_sentences(sentences(category, state)), dim=-1).mean(0)
        for state in ("normal", "anomalous")
    ]
    return F.normalize(torch.stack(both), dim=-1)


@torch.no_grad()
def anomaly(
    clip: FrozenCLIP, images: Float[Tensor, "batch 3 height width"], states: Float[Tensor, "2 dim"]
) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch grid grid"], Float[Tensor, "batch dim"]]:
    """Score pictures of one category.

    Args:
        clip: the encoder.
        images: pictures as the encoder needs them.
        states: unit features of the normal and the anomalous state.

    Returns:
        Probability that each picture is anomalous, the same of every patch, and the unit class feature.
    """
    features = clip.image.encode(images, layers=[clip.depth], local_start=1)
    cls = F.normalize(features.cls, dim=-1)
    patches = F.normalize(features.patches[0], dim=-1)
    score = (cls @ states.T / TEMPERATURE).softmax(-1)[:, 1]
    grid = (patches @ states.T / TEMPERATURE).softmax(-1)[..., 1]
    return score, grid.unflatten(1, (clip.grid, clip.grid)), cls


@torch.no_grad()
def measure(clip: FrozenCLIP, pictures: Pictures) -> dict[str, float]:
    """Measure the category accuracy (among the categories of one world), and AUROCs averaged over categories.

    Returns:
        ``category_accuracy``; ``image_auroc_global`` (class feature), ``image_auroc_patch`` (patch maximum),
        ``image_auroc`` (their mean) and ``pixel_auroc`` (patch map enlarged bilinearly).
    """
    bare: dict[tuple[str, ...], Tensor] = {}
    found: dict[str, list[float]] = {}
    for index in pictures.categories.unique().tolist():
        rows, category = pictures.categories == index, ALL_CATEGORIES[index]
        world = next(categories for categories in WORLDS.values() if category in categories)
        if world not in bare:
            bare[world] = _named(clip, world)
        labels, masks = pictures.labels[rows].int(), pictures.masks[rows]
        score, grid, cls = anomaly(clip, normalise(pictures.images[rows]), state_features(clip, category))
        maps = F.interpolate(grid[:, None], size=masks.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
        peak = grid.flatten(1).amax(1)
        measured = {
            "category_accuracy": (cls @ bare[world].T).argmax(1).eq(world.index(category)).float().mean(),
            "image_auroc_global": binary_auroc(score, labels),
            "image_auroc_patch": binary_auroc(peak, labels),
            "image_auroc": binary_auroc((score + peak) / 2, labels),
            "pixel_auroc": binary_auroc(maps.flatten(), masks.flatten().int()),
        }
        for name, value in measured.items():
            found.setdefault(name, []).append(float(value))
    return {name: sum(values) / len(values) for name, values in found.items()}


def _named(clip: FrozenCLIP, categories: Sequence[str]) -> Float[Tensor, "categories dim"]:
    """Return the unit feature of every category, the mean over sentences that name it and no state."""
    lines = [[template.format(noun(category)) for template in TEMPLATES] for category in categories]
    bare = torch.stack([F.normalize(clip.text.encode_sentences(each), dim=-1).mean(0) for each in lines])
    return F.normalize(bare, dim=-1)
