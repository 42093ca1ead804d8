"""What learned prompts add: CoPS and its ablations, trained on pictures of some categories, tested on others."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from anomalib_cops.clip import FrozenCLIP, ImageFeatures
from anomalib_cops.clip.tiny.handwritten import Pictures
from anomalib_cops.clip.tiny.pool import normalise
from anomalib_cops.data.synthetic import CATEGORIES
from anomalib_cops.models.assembly import ADAM_BETAS
from anomalib_cops.models.cops.settings import PRESETS, CoPSSettings
from anomalib_cops.models.cops.torch_model import CoPSModel

TRAINED, TESTED = CATEGORIES[:16:2], CATEGORIES[1::2]
"""Eight categories each, surfaces and objects on both sides, as ``ZeroShotTransfer`` shares them out."""

VARIANTS: dict[str, dict[str, Any]] = {
    "CoPS": {},
    "static prompts": {"states": "static", "categories": "static"},
    "w/o ESTS": {"states": "static"},
    "w/o ICTS": {"categories": "static"},
    "w/o SAGA": {"spatial": False},
}
"""CoPS, the baseline that it is compared with, and CoPS without one of its parts."""

# The paper averages 5 x 5 of 37 x 37 patches; of 10 x 10 that would be a quarter of the picture.
_NEIGHBOURHOOD = 1
_BATCH = 8


@dataclass(frozen=True)
class Seen:
    """Pictures and what the frozen encoder says of them, which is asked once.

    Attributes:
        pictures: a labelled set.
        features: of all its pictures.
    """

    pictures: Pictures
    features: ImageFeatures

    @classmethod
    def by(cls, clip: FrozenCLIP, pictures: Pictures) -> "Seen":
        """Encodes pictures as all variants of CoPS need them."""
        with torch.no_grad():
            parts = [
                clip.encode_image(normalise(images), layers=[clip.depth], path="local")
                for images in pictures.images.split(_BATCH)
            ]
        whole = ImageFeatures(torch.cat([part.cls for part in parts]), torch.cat([part.patches for part in parts], 1))
        return cls(pictures, whole)

    def of(self, rows: Int[Tensor, " batch"]) -> ImageFeatures:
        """Features of some pictures."""
        return ImageFeatures(self.features.cls[rows], self.features.patches[:, rows])


def learn(clip: FrozenCLIP, variant: str, seen: Seen, *, epochs: int, seed: int) -> CoPSModel:
    """Trains one of ``VARIANTS`` with the method's own loss and optimiser; the encoder stays as it is."""
    torch.manual_seed(seed)
    model = CoPSModel(clip, CoPSSettings(neighbourhood=_NEIGHBOURHOOD, seed=seed, **VARIANTS[variant]))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=PRESETS["default"]["learning_rate"], betas=ADAM_BETAS)
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
    """Image AUROC, and pixel AUROC where there are masks, over what a model found, masks and labels of one category."""
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


def transfer(model: CoPSModel, seen: Seen) -> dict[str, float]:
    """AUROCs on drawn pictures, averaged over their categories."""
    each, pictures = [], seen.pictures

    def judged(rows: Int[Tensor, " batch"]) -> Judged:
        found = model(normalise(pictures.images[rows]), features=seen.of(rows))
        return found, pictures.masks[rows], pictures.labels[rows]

    for category in pictures.categories.unique().tolist():
        rows = (pictures.categories == category).nonzero()[:, 0]
        each.append(aurocs(judged(part) for part in rows.split(_BATCH)))
    return {name: sum(figures[name] for figures in each) / len(each) for name in each[0]}
