"""AdaCLIP as an anomalib model."""

import logging
from collections.abc import Iterator
from typing import Any

import torch
from anomalib.data import Batch
from anomalib.models import AnomalibModule
from lightning.pytorch.trainer.states import TrainerFn

from anomalib_cops.data.sets.synthetic_set import address_of
from anomalib_cops.host.prompt_learning import PromptLearningMixin
from anomalib_cops.host.rereading import datasets
from anomalib_cops.models.ada_clip.official import KEYS
from anomalib_cops.models.ada_clip.settings import PRESETS, AdaCLIPSettings, check_traceable
from anomalib_cops.models.ada_clip.torch_model import UNKNOWN_CLASS, AdaCLIPModel
from anomalib_cops.models.method import Method
from anomalib_cops.plugin import register

METHOD = Method("AdaCLIP", AdaCLIPSettings, AdaCLIPModel, PRESETS, KEYS, position_resize="bicubic")
WEIGHT_DECAY = 0.01
LOADERS = {
    TrainerFn.FITTING: ("train_dataloader", "val_dataloaders"),
    TrainerFn.VALIDATING: ("val_dataloaders",),
    TrainerFn.TESTING: ("test_dataloaders",),
    TrainerFn.PREDICTING: ("predict_dataloaders",),
}
"""Of the trainer, by what it does."""

logger = logging.getLogger(__name__)


class AdaCLIP(PromptLearningMixin, AnomalibModule, method=METHOD):  # type: ignore[misc] # the host overrides to_onnx
    """CLIP with hybrid learnable prompts for zero-shot anomaly detection (ECCV 2024, arXiv 2407.15795).

    Train it once on an auxiliary set with labels and masks (``ZeroShotTransfer``), then use it on images of categories
    that it never saw. It reads sentences about what an image shows: the category that the data names, or
    ``class_name``.

    Raises:
        InputError: an argument cannot be used; the message says which, and what to do.

    Example:
        >>> from anomalib.engine import Engine
        >>> from anomalib_cops import AdaCLIP, ZeroShotTransfer
        >>> model = AdaCLIP(backbone="tiny", epochs=3)
        >>> Engine().train(model, datamodule=ZeroShotTransfer(source="synthetic", target="synthetic"))
        >>> model.save_weights("adaclip.safetensors")
    """

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on the trained parameters."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        return torch.optim.AdamW(trained, lr=self.learning_rate, betas=self.betas, weight_decay=WEIGHT_DECAY)

    def check_traceable(self) -> None:
        """Refuse to become a graph with fusion."""
        check_traceable(self.model.settings)

    def extra_inputs(self, batch: Batch) -> dict[str, Any]:
        """The class name of every image, unless one was given for all."""
        if self.model.settings.class_name:
            return super().extra_inputs(batch)
        assert batch.image is not None
        paths = getattr(batch, "image_path", None) or [None] * len(batch.image)
        return {"class_names": [self._category(path and address_of(path)) for path in paths]}

    def setup(self, stage: str) -> None:
        """Forget what an earlier run's data said."""
        super().setup(stage)
        self._categories: dict[str, str] = {}
        self._has_warned = False

    def _category(self, path: str | None) -> str:
        """What the data says an image shows: its data set's samples by path, else the data set, else "object"."""
        if path is not None and path not in self._categories:
            for samples in self._samples():
                self._categories.update(zip(samples["image_path"], samples["category"], strict=True))
        # anomalib's data sets of one thing only have an empty category.
        found = self._categories.get(path or "", "").strip() or self._common_category()
        if not found and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "The data does not say what its images show, so AdaCLIP reads sentences about an '%s'; give "
                "class_name= to name it.",
                UNKNOWN_CLASS,
            )
        return found or UNKNOWN_CLASS

    def _common_category(self) -> str | None:
        """What anomalib's data sets are of as a whole; in a prediction the trainer may keep an earlier datamodule."""
        whole: list[Any] = list(self._datasets())
        if self.trainer.state.fn != TrainerFn.PREDICTING:
            whole.append(getattr(self.trainer, "datamodule", None))
        names = [getattr(each, "category", None) for each in whole]
        return next((name for name in names if isinstance(name, str) and name.strip()), None)

    def _samples(self) -> Iterator[Any]:
        """Tables of the data sets of this run that have a category for every image."""
        for dataset in self._datasets():
            samples = getattr(dataset, "samples", None)
            if {"image_path", "category"} <= set(getattr(samples, "columns", ())):
                yield samples

    def _datasets(self) -> Iterator[Any]:
        """What this run reads; the trainer keeps the loaders of earlier ones."""
        fn = self.trainer.state.fn
        for name in LOADERS[fn] if fn is not None else ():
            yield from datasets(getattr(self.trainer, name, None))


# Where this import is what loaded anomalib, its hook ran too early to see the class.
register()
