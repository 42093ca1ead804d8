"""Measure learned prompts: CoPS and its ablations, trained on pictures of some categories, tested on others."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
import torch
from anomalib.data import InferenceBatch
from jaxtyping import Bool, Float, Int
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import binary_auroc

from anomalib_cops.alignment import enlarge_smoothly, to_grid
from anomalib_cops.data.synthetic import CATEGORIES, LOOK_CATEGORIES
from anomalib_cops.encoder import FrozenCLIP, ImageFeatures
from anomalib_cops.models.assembly import ADAM_BETAS
from anomalib_cops.models.cops.settings import PRESETS, CoPSSettings
from anomalib_cops.models.cops.torch_model import CoPSModel
from tools.tiny_clip.handwritten import Pictures
from tools.tiny_clip.pool import normalise

TRAINED, TESTED = CATEGORIES[:16:2], CATEGORIES[1::2]
"""Eight categories each, surfaces and objects in both, split as ``ZeroShotTransfer`` does."""
SPLITS = {"damage": (TRAINED, TESTED), "looks": (LOOK_CATEGORIES[::2], LOOK_CATEGORIES[1::2])}
"""Categories of each world that prompts are trained on, and those that they are tested on."""

VARIANTS: dict[str, dict[str, Any]] = {
    "CoPS": {},
    "static prompts": {"states": "static", "categories": "static"},
    "w/o ESTS": {"states": "static"},
    "w/o ICTS": {"categories": "static"},
    "w/o SAGA": {"spatial": False},
}
"""CoPS, the baseline that it is compared with, and CoPS without one of its parts."""

LEARNING_RATES = {"damage": PRESETS["default"]["learning_rate"], "looks": 3e-4}
"""Learning rate in each world. With the official one the last few steps decide in the world of looks: with three seeds,
the image AUROC was 0.69, 0.80 and 0.93."""

# The paper averages 5 x 5 of 37 x 37 patches. With 10 x 10 patches that would be a quarter of the picture.
_NEIGHBOURHOOD = 1
_BATCH = 8


@dataclass(frozen=True)
class Seen:
    """Pictures with their features, which are computed once.

    Attributes:
        pictures: the pictures.
        features: features of all pictures.
    """

    pictures: Pictures
    features: ImageFeatures

    @classmethod
    def by(cls, clip: FrozenCLIP, pictures: Pictures) -> "Seen":
        """Encode pictures as all variants of CoPS need them."""
        with torch.no_grad():
            parts = [
                clip.image.encode(normalise(images), layers=[clip.depth], local_start=1)
                for images in pictures.images.split(_BATCH)
            ]
        whole = ImageFeatures(torch.cat([part.cls for part in parts]), torch.cat([part.patches for part in parts], 1))
        return cls(pictures, whole)

    def of(self, rows: Int[Tensor, " batch"]) -> ImageFeatures:
        """Return the features of some pictures, given by their row numbers."""
        return ImageFeatures(self.features.cls[rows], self.features.patches[:, rows])


def learn(
    clip: FrozenCLIP, variant: str, seen: Seen, *, epochs: int, seed: int, rate: float = LEARNING_RATES["damage"]
) -> CoPSModel:
    """Train one of ``VARIANTS`` with the method's own loss and optimiser; the encoder stays as it is."""
    torch.manual_seed(seed)
    model = CoPSModel(clip, CoPSSettings(neighbourhood=_NEIGHBOURHOOD, seed=seed, **VARIANTS[variant]))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=rate, betas=ADAM_BETAS)
    pictures = seen.pictures
    for _ in range(epochs):
        for rows in torch.randperm(len(pictures.images)).split(_BATCH):
            images, masks, labels = normalise(pictures.images[rows]), pictures.masks[rows], pictures.labels[rows]
            optimizer.zero_grad(set_to_none=True)
            model.loss(images, masks.float(), labels.float(), features=seen.of(rows))["loss"].backward()
            optimizer.step()
    return model.eval()


Judged = tuple[Any, Bool[Tensor, "batch height width"] | None, Bool[Tensor, " batch"]]


def aurocs(batches: Iterable[Judged]) -> dict[str, float]:
    """Return the image AUROC of one category, and the pixel AUROC if there are masks.

    Args:
        batches: predictions, masks and labels of each batch.
    """
    scores, labels, maps, masks = [], [], [], []
    for found, anomalous, label in batches:
        scores.append(found.pred_score)
        labels.append(label)
        if anomalous is not None:
            maps.append(found.anomaly_map.flatten())
            masks.append(anomalous.flatten())
    figures = {"image_auroc": float(binary_auroc(torch.cat(scores), torch.cat(labels).int()))}
    if masks:
        figures["pixel_auroc"] = float(binary_auroc(torch.cat(maps), torch.cat(masks).int()))
    return figures


def transfer(find: Callable[[Seen, Int[Tensor, " batch"]], InferenceBatch], seen: Seen) -> dict[str, float]:
    """Return AUROCs on drawn pictures, averaged over their categories.

    Args:
        find: predicts scores and maps of some of the pictures; see :func:`finder` and :func:`linear`.
        seen: the pictures.
    """
    each, pictures = [], seen.pictures
    for category in pictures.categories.unique().tolist():
        parts = (pictures.categories == category).nonzero()[:, 0].split(_BATCH)
        each.append(aurocs((find(seen, rows), pictures.masks[rows], pictures.labels[rows]) for rows in parts))
    return {name: sum(figures[name] for figures in each) / len(each) for name in each[0]}


def finder(model: CoPSModel) -> Callable[[Seen, Int[Tensor, " batch"]], InferenceBatch]:
    """Return a function by which CoPS predicts scores and maps of encoded pictures."""
    return lambda seen, rows: model(normalise(seen.pictures.images[rows]), features=seen.of(rows))


def linear(seen: Seen) -> Callable[[Seen, Int[Tensor, " batch"]], InferenceBatch]:
    """Train logistic regressions on the frozen features, one on class features and one on patches.

    They learn from the same pictures as prompts. As a pair of text features is a linear classifier, they show how much
    prompts that are the same for all images could reach.

    Returns:
        A function that predicts scores and maps of encoded pictures.
    """
    side = seen.pictures.masks.shape[-1]
    patches = seen.features.patches[-1]
    grid = isqrt(patches.shape[1])
    anomalous = F.adaptive_max_pool2d(seen.pictures.masks.float(), grid).flatten() > 0
    of_images = LogisticRegression(C=100, max_iter=1000).fit(_units(seen.features.cls), seen.pictures.labels.numpy())
    of_patches = LogisticRegression(C=100, max_iter=1000).fit(_units(patches.flatten(0, 1)), anomalous.numpy())

    def find(shown: Seen, rows: Int[Tensor, " batch"]) -> InferenceBatch:
        features = shown.of(rows)
        scores = torch.from_numpy(of_images.decision_function(_units(features.cls)))
        odds = torch.from_numpy(of_patches.decision_function(_units(features.patches[-1].flatten(0, 1))))
        return InferenceBatch(pred_score=scores.sigmoid(), anomaly_map=_maps(odds.view(len(rows), -1), side).sigmoid())

    return find


def odd_one_out(seen: Seen, rows: Int[Tensor, " batch"]) -> InferenceBatch:
    """Score patches by their cosine distance to the median patch of their own picture: without words or training.

    It shows what a detector could reach that takes the picture itself for its norm.
    """
    patches = F.normalize(seen.of(rows).patches[-1], dim=-1)
    median = F.normalize(patches.median(dim=1, keepdim=True).values, dim=-1)
    distance = (1 - (patches * median).sum(-1)) / 2
    return InferenceBatch(pred_score=distance.amax(1), anomaly_map=_maps(distance, seen.pictures.masks.shape[-1]))


def _maps(patches: Float[Tensor, "batch patches"], side: int) -> Float[Tensor, "batch side side"]:
    return enlarge_smoothly(to_grid(patches)[:, None], side, align_corners=False)[:, 0]


def _units(features: Float[Tensor, "rows dim"]) -> Float[np.ndarray, "rows dim"]:
    units: np.ndarray = F.normalize(features, dim=-1).numpy()
    return units
