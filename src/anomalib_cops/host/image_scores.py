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


def load_images(module: Any, paths: Sequence[str]) -> ImageBatch:
    """Read images as the model takes them; shape (batch, 3, height, width), on the model's device.

    Raises:
        InputError: a file cannot be read.
    """
    prepare = (module.pre_processor or module.configure_pre_processor((module.clip.image_size,) * 2)).transform
    images = [prepare(to_dtype(to_image(read_levels(path)), torch.float32, scale=True)) for path in paths]
    return ImageBatch(image=torch.stack(images).to(module.device), image_path=list(paths))


def one_by_one(module: Any, paths: Sequence[str]) -> Iterator[ImageBatch]:
    """Read images in batches of one, as a prediction of a folder does.

    Larger batches are rounded in another way, by which an image could come to lie just above its own threshold.
    """
    for path in paths:
        yield load_images(module, [path])


@torch.no_grad()
def predict_raw(module: Any, batch: ImageBatch) -> tuple[Tensor, Tensor]:
    """Return the raw scores (batch) and maps (batch height width) of a batch."""
    prediction = module.model.eval()(batch.image, **module.extra_inputs(batch))
    return prediction.pred_score.flatten(), prediction.anomaly_map


def raw_scores(module: Any, paths: Sequence[str]) -> RawScores:
    """Return the raw scores of image files."""
    scores: list[Tensor] = []
    peaks: list[Tensor] = []
    for batch in one_by_one(module, paths):
        found, maps = predict_raw(module, batch)
        scores.append(found.float().cpu())
        peaks.append(maps.flatten(1).amax(dim=1).float().cpu())
    return RawScores(torch.cat(scores).tolist(), torch.cat(peaks).tolist())
