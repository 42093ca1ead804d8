"""Run a model on the test images of one category, through Lightning's test loop, and collect raw scores and maps."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import torch
from anomalib.data import ImageBatch
from anomalib.data.transforms.utils import extract_transforms_by_type
from lightning.pytorch import Callback, LightningDataModule, Trainer
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import Resize

from anomalib_cops.data import LabelledImages
from anomalib_cops.errors import InputError
from anomalib_cops.machine import processors

from ..plan.data_settings import DataSettings
from .outputs import CategoryOutput, Predictions


def infer(
    model: Any,
    images: LabelledImages,
    category: str,
    settings: DataSettings,
    *,
    all_maps: bool,
    references: LabelledImages | None = None,
    **trainer: Any,
) -> CategoryOutput:
    """Run a model on all images of a category.

    Args:
        model: Model; its post-processor is left out, so that scores are raw.
        images: Images of the category, with or without masks.
        category: Name of the category, which some models read.
        settings: Batch size and number of workers.
        all_maps: Keep maps also where pixels are not labelled, so that no metric needs them.
        references: Images that a few-shot model finds as the training split of its datamodule, if any.
        **trainer: Arguments of Lightning's trainer.

    Raises:
        InputError: The model gives no scores, scores or maps are not finite, or maps and masks differ in size.
    """
    resized_as_the_model_does(images, model)
    # Models that cut images into tiles leave them at their own sizes.
    keeps_sizes = bool(getattr(model, "tiles", ""))
    collector = _Collector(all_maps, keeps_sizes=keeps_sizes)
    with _without_post_processor(model):
        Trainer(**trainer, callbacks=[collector]).test(
            model,
            datamodule=_CategoryData(images, category, settings, references, keeps_sizes=keeps_sizes),
            verbose=False,
        )
    return collector.output(type(model).__name__)


def resized_as_the_model_does(images: LabelledImages, model: Any) -> None:
    """Let a data set resize its images as a model's pre-processor does, so that they fit into batches."""
    transform = getattr(model.pre_processor, "transform", None)
    images.augmentations = next(iter(extract_transforms_by_type(transform, Resize)), None) if transform else None


@contextmanager
def _without_post_processor(model: Any) -> Iterator[None]:
    """Take a model's post-processor away during the block."""
    post_processor, model.post_processor = model.post_processor, None
    try:
        yield
    finally:
        model.post_processor = post_processor


class _CategoryData(LightningDataModule):
    """One category as a datamodule, since anomalib's models look for its name and for references there."""

    def __init__(
        self,
        images: LabelledImages,
        category: str,
        settings: DataSettings,
        references: LabelledImages | None,
        *,
        keeps_sizes: bool,
    ) -> None:
        super().__init__()
        self.keeps_sizes = keeps_sizes
        self.references = references
        self.images = images
        self.category = category
        self.settings = settings

    def test_dataloader(self) -> DataLoader[Any]:
        """Load the images in order."""
        return self._loader(self.images)

    def train_dataloader(self) -> Any:
        """Load the references in order; nothing without references."""
        return [] if self.references is None else self._loader(self.references)

    def val_dataloader(self) -> list[Any]:
        """Load nothing: no model may look at a target before its test."""
        return []

    def _loader(self, images: LabelledImages) -> DataLoader[Any]:
        return DataLoader(
            images,
            batch_size=1 if self.keeps_sizes else self.settings.eval_batch_size,
            num_workers=min(self.settings.num_workers, processors()),
            collate_fn=images.collate_fn,
        )


class _Collector(Callback):
    """Keep the output of a model, and the time that it takes.

    Args:
        all_maps: Keep maps also where pixels are not labelled.
        keeps_sizes: Fit maps and masks, which are as large as their images, to the size of the first ones.
    """

    def __init__(self, all_maps: bool, *, keeps_sizes: bool) -> None:
        self._all_maps = all_maps
        self._keeps_sizes = keeps_sizes
        self._batches: list[tuple[np.ndarray | None, ...]] = []
        self._paths: list[str] = []
        self._seconds = 0.0
        self._started = 0.0

    def on_test_batch_start(self, *args: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_test_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: ImageBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Copy scores, labels, maps and masks to the processor, which also waits for the accelerator."""
        result = outputs if outputs is not None else batch
        maps = result.anomaly_map if self._all_maps or batch.gt_mask is not None else None
        arrays = tuple(_array(each) for each in (result.pred_score, batch.gt_label, maps, batch.gt_mask))
        self._seconds += time.perf_counter() - self._started
        self._batches.append(arrays)
        self._paths += list(batch.image_path or [])

    def output(self, name: str) -> CategoryOutput:
        """Join all batches.

        Args:
            name: Name of the model, for messages.
        """
        scores, labels, maps, masks = (
            None if any(part is None for part in parts) else np.concatenate(_at_one_size(parts, self._keeps_sizes))
            for parts in zip(*self._batches, strict=True)
        )
        if scores is None or labels is None:
            raise InputError(f"{name} gives no scores; a benchmark needs one per image.")
        for values in (scores, maps):
            if values is not None and not np.isfinite(values).all():
                first = int(np.isfinite(values.reshape(len(values), -1)).all(axis=1).argmin())
                raise InputError(f"{name} gives NaN or infinite values for {self._paths[first]}.")
        if maps is not None and masks is not None and maps.shape != masks.shape:
            raise InputError(f"maps of {name} have the shape {maps.shape[1:]}, masks {masks.shape[1:]}.")
        predictions = Predictions(
            scores=scores.reshape(-1),
            labels=labels.reshape(-1).astype(np.int64),
            maps=maps,
            masks=None if masks is None else masks.astype(bool),
        )
        return CategoryOutput(predictions, self._paths, self._seconds)


def _at_one_size(parts: Sequence[np.ndarray], fits: bool) -> list[np.ndarray]:
    """Return maps or masks, resized to the size of the first ones if wanted; scores and labels stay as they are."""
    size = parts[0].shape[1:]
    if not fits or len(size) != 2:
        return list(parts)
    return [np.stack([_resized(plane, size) for plane in part]) for part in parts]


def _resized(plane: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    if plane.shape == size:
        return plane
    is_map = plane.dtype == np.float32
    # OpenCV resizes no Boolean masks.
    stored, how = (plane, cv2.INTER_LINEAR) if is_map else (plane.astype(np.uint8), cv2.INTER_NEAREST)
    return cv2.resize(stored, size[::-1], interpolation=how)


def _array(values: torch.Tensor | None) -> np.ndarray | None:
    """Copy a tensor to the processor; drop the channel axis, of length one, of maps and masks."""
    if values is None:
        return None
    array = values.detach().cpu().numpy()
    return array[:, 0] if array.ndim == 4 else array
