"""Score image files with a Lightning module outside of a trainer's loops."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from anomalib.data import ImageBatch
from torch import Tensor
from torchvision.transforms.v2.functional import to_dtype, to_image

from anomalib_cops.data.good_images import read_levels


class RawScores(NamedTuple):
    """Raw scores of images, before thresholds move them.

    Attributes:
        images: image score of each, in [0, 1].
        peaks: largest value of the anomaly map of each, in [0, 1].
    """

    images: list[float]
    peaks: list[float]


def load_image(path: str) -> Tensor:
    """Read an image file, or draw a synthetic picture: (3 height width) in [0, 1].

    Raises:
        InputError: the file cannot be read.
    """
    return to_dtype(to_image(read_levels(path)), torch.float32, scale=True)


def one_by_one(module: Any, paths: Sequence[str]) -> Iterator[ImageBatch]:
    """Read images in batches of one, as a prediction of a folder does, on the model's device.

    Larger batches are rounded in another way, by which an image could come to lie just above its own threshold.
    """
    for path in paths:
        image = load_image(path)
        batch = module.prepare([image]) if module.tiling is None else image.unsqueeze(0).to(module.device)
        yield ImageBatch(image=batch, image_path=[path])


@torch.no_grad()
def predict_raw(module: Any, batch: ImageBatch) -> tuple[Tensor, Tensor]:
    """Return the raw scores (batch) and maps (batch height width) of a batch."""
    module.model.eval()
    prediction = module.predict_batch(batch)
    return prediction["pred_score"].flatten(), prediction["anomaly_map"]


def raw_scores(module: Any, paths: Sequence[str]) -> RawScores:
    """Return the raw scores of image files."""
    scores: list[Tensor] = []
    peaks: list[Tensor] = []
    for batch in one_by_one(module, paths):
        found, maps = predict_raw(module, batch)
        scores.append(found.float().cpu())
        peaks.append(maps.flatten(1).amax(dim=1).float().cpu())
    return RawScores(torch.cat(scores).tolist(), torch.cat(peaks).tolist())
