"""What learned prompts add: CoPS and its ablations, trained on pictures of some categories, tested on others."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from anomalib_cops.clip.encoder import FrozenCLIP
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


def learn(clip: FrozenCLIP, variant: str, pictures: Pictures, *, epochs: int, seed: int) -> CoPSModel:
    """Trains one of ``VARIANTS`` with the method's own loss and optimiser; the encoder stays as it is."""
    torch.manual_seed(seed)
    model = CoPSModel(clip, CoPSSettings(neighbourhood=_NEIGHBOURHOOD, seed=seed, **VARIANTS[variant]))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=PRESETS["default"]["learning_rate"], betas=ADAM_BETAS)
    for _ in range(epochs):
        for rows in torch.randperm(len(pictures.images)).split(_BATCH):
            images, masks, labels = normalise(pictures.images[rows]), pictures.masks[rows], pictures.labels[rows]
            optimizer.zero_grad(set_to_none=True)
            model.loss(images, masks.float(), labels.float())["loss"].backward()
            optimizer.step()
    return model.eval()


Batch = tuple[Float[Tensor, "batch 3 height width"], Bool[Tensor, "batch height width"] | None, Bool[Tensor, " batch"]]


def aurocs(model: CoPSModel, batches: Iterable[Batch]) -> dict[str, float]:
    """Image AUROC, and pixel AUROC where there are masks, over normalised images, masks and labels of one category."""
    scores, labels, maps, masks = [], [], [], []
    for images, anomalous, label in batches:
        found = model(images)
        scores.append(found.pred_score)
        labels.append(label)
        if anomalous is not None:
            maps.append(found.anomaly_map.flatten())
            masks.append(anomalous.flatten())
    figures = {"image_auroc": float(binary_auroc(torch.cat(scores), torch.cat(labels).int()))}
    if masks:
        figures["pixel_auroc"] = float(binary_auroc(torch.cat(maps), torch.cat(masks).int()))
    return figures


def transfer(model: CoPSModel, pictures: Pictures) -> dict[str, float]:
    """AUROCs on drawn pictures, averaged over their categories."""
    each = []
    for category in pictures.categories.unique().tolist():
        shown = pictures.of(category)
        parts = torch.arange(len(shown.images)).split(_BATCH)
        each.append(aurocs(model, ((normalise(shown.images[p]), shown.masks[p], shown.labels[p]) for p in parts)))
    return {name: sum(figures[name] for figures in each) / len(each) for name in each[0]}
