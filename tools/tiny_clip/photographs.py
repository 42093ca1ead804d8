"""Measure on photographs what was learned on drawn pictures."""

from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import binary_auroc

from anomalib_cops.data import LabelledImages, ZeroShotTransfer
from anomalib_cops.demo import loader, solar_cells
from anomalib_cops.encoder.frozen_clip import FrozenCLIP
from anomalib_cops.host.pre_processing import ClipPreProcessor
from anomalib_cops.models.cops.torch_model import CoPSModel
from tools.tiny_clip.handwritten import anomaly, state_features
from tools.tiny_clip.learned import aurocs

_SOLAR_CELLS = "elpv/mono"

Batch = tuple[Float[Tensor, "batch 3 height width"], Bool[Tensor, "batch height width"] | None, Bool[Tensor, " batch"]]


def photographs(folders: list[Path], *, elpv: bool) -> dict[str, LabelledImages]:
    """Return test images by ``set/category``.

    Args:
        folders: folders of data sets.
        elpv: add the monocrystalline solar cells of the package ``elpv-dataset``.

    Raises:
        InputError: a folder is not a data set, or the package with the solar cells is not installed.
    """
    sets = {}
    if folders:
        sets.update(ZeroShotTransfer(target=[str(folder) for folder in folders], synthetic_samples=4).target_datasets)
    if elpv:
        sets[_SOLAR_CELLS] = solar_cells()[_SOLAR_CELLS]
    return sets


def judge(clip: FrozenCLIP, model: CoPSModel, images: LabelledImages, category: str) -> dict[str, dict[str, float]]:
    """Return the AUROCs of hand-written sentences and of learned prompts on photographs of one category."""
    batches = list(_batches(clip, images))
    states = state_features(clip, category)
    scores, maps = [], []
    for pixels, _, _ in batches:
        score, grid, _ = anomaly(clip, pixels, states)
        scores.append((score + grid.flatten(1).amax(1)) / 2)
        maps.append(F.interpolate(grid[:, None], size=pixels.shape[-2:], mode="bilinear", align_corners=False)[:, 0])
    labels = torch.cat([label for _, _, label in batches]).int()
    written = {"image_auroc": float(binary_auroc(torch.cat(scores), labels))}
    masks = [anomalous for _, anomalous, _ in batches if anomalous is not None]
    if masks:
        written["pixel_auroc"] = float(binary_auroc(torch.cat(maps).flatten(), torch.cat(masks).flatten().int()))
    return {
        "hand-written": written,
        "CoPS": aurocs((model(pixels), anomalous, label) for pixels, anomalous, label in batches),
    }


def _batches(clip: FrozenCLIP, images: LabelledImages) -> Iterator[Batch]:
    transform = ClipPreProcessor((clip.image_size, clip.image_size)).transform
    assert transform is not None
    # Photographs differ in size, so each is resized before they are batched.
    resized = LabelledImages(images.samples, transform.transforms[0])
    for batch in loader(resized):
        pixels, masks = transform(batch.image, batch.gt_mask)
        yield pixels, None if masks is None else masks.bool(), batch.gt_label.bool()
