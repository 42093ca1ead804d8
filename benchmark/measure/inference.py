"""Raw scores and maps of the images of one category, through Lightning's test loop."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from anomalib.data import ImageBatch
from anomalib.data.transforms.utils import extract_transforms_by_type
from lightning.pytorch import Callback, LightningDataModule, Trainer
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import Resize

from anomalib_cops.data import LabelledImages
from anomalib_cops.errors import InputError

from ..plan.cells import DataSettings
from ..provenance import cores
from .metrics import Predictions


@dataclass(frozen=True)
class Seen:
    """What came out for one category.

    Attributes:
        predictions: As metrics take them.
        paths: Of the images.
        seconds: In the model.
    """

    predictions: Predictions
    paths: list[str]
    seconds: float


def infer(
    model: Any, images: LabelledImages, category: str, settings: DataSettings, *, all_maps: bool, **trainer: Any
) -> Seen:
    """Let a model look at all images of a category.

    Args:
        model: Without a post-processor, so that scores are raw.
        images: Of one category, with masks or without.
        category: Its name, which some models read.
        settings: Batch size and workers.
        all_maps: Keep maps also where pixels are not labelled, so that no figure needs them.
        **trainer: Arguments of Lightning's trainer.

    Raises:
        InputError: Scores or maps are no numbers, or maps and masks differ in size.
    """
    transform = getattr(model.pre_processor, "transform", None)
    images.augmentations = next(iter(extract_transforms_by_type(transform, Resize)), None) if transform else None
    collector = _Collector(all_maps)
    Trainer(**trainer, callbacks=[collector]).test(
        model, datamodule=_Category(images, category, settings), verbose=False
    )
    return collector.seen(type(model).__name__)


class _Category(LightningDataModule):
    """One category as a datamodule, since anomalib's models look for its name there."""

    def __init__(self, images: LabelledImages, category: str, settings: DataSettings) -> None:
        super().__init__()
        self.images = images
        self.category = category
        self.settings = settings

    def test_dataloader(self) -> DataLoader[Any]:
        """In order."""
        return DataLoader(
            self.images,
            batch_size=self.settings.eval_batch_size,
            num_workers=min(self.settings.num_workers, cores()),
            collate_fn=self.images.collate_fn,
        )

    def val_dataloader(self) -> list[Any]:
        """Nothing: no model may look at a target before its test."""
        return []


class _Collector(Callback):
    """Keeps what the model says, and the time it takes."""

    def __init__(self, all_maps: bool) -> None:
        self._all_maps = all_maps
        self._batches: list[tuple[np.ndarray | None, ...]] = []
        self._paths: list[str] = []
        self._seconds = 0.0
        self._started = 0.0

    def on_test_batch_start(self, *args: Any, **kwargs: Any) -> None:
        """Starts the clock."""
        self._started = time.perf_counter()

    def on_test_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: ImageBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Takes scores, labels, maps and masks to the processor, which also waits for the accelerator."""
        found = outputs if outputs is not None else batch
        maps = found.anomaly_map if self._all_maps or batch.gt_mask is not None else None
        taken = tuple(_array(each) for each in (found.pred_score, batch.gt_label, maps, batch.gt_mask))
        self._seconds += time.perf_counter() - self._started
        self._batches.append(taken)
        self._paths += list(batch.image_path or [])

    def seen(self, name: str) -> Seen:
        """All batches as one."""
        scores, labels, maps, masks = (
            None if any(part is None for part in parts) else np.concatenate(parts)
            for parts in zip(*self._batches, strict=True)
        )
        if scores is None or labels is None:
            raise InputError(f"{name} gives no scores; a benchmark needs one per image.")
        for values in (scores, maps):
            if values is not None and not np.isfinite(values).all():
                bad = int(np.isfinite(values.reshape(len(values), -1)).all(axis=1).argmin())
                raise InputError(f"{name} gives NaN or infinite values for {self._paths[bad]}.")
        if maps is not None and masks is not None and maps.shape != masks.shape:
            raise InputError(f"maps of {name} have the shape {maps.shape[1:]}, masks {masks.shape[1:]}.")
        predictions = Predictions(
            scores=scores.reshape(-1),
            labels=labels.reshape(-1).astype(np.int64),
            maps=maps,
            masks=None if masks is None else masks.astype(bool),
        )
        return Seen(predictions, self._paths, self._seconds)


def _array(values: torch.Tensor | None) -> np.ndarray | None:
    """On the processor; maps and masks lose a channel axis of length one."""
    if values is None:
        return None
    array = values.detach().cpu().numpy()
    return array[:, 0] if array.ndim == 4 else array
