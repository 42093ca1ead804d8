"""AdaCLIP as an anomalib model."""

import logging
from contextlib import suppress
from typing import Any

import torch
from anomalib.data import Batch
from anomalib.models import AnomalibModule
from lightning.pytorch.trainer.states import TrainerFn

from anomalib_cops.host.prompt_learning import PromptLearningMixin
from anomalib_cops.host.rereading import datasets_in_use
from anomalib_cops.models.ada_clip.official import KEYS
from anomalib_cops.models.ada_clip.settings import PRESETS, AdaCLIPSettings, check_traceable
from anomalib_cops.models.ada_clip.torch_model import UNKNOWN_CLASS, AdaCLIPModel
from anomalib_cops.models.method import Method
from anomalib_cops.plugin import register

METHOD = Method("AdaCLIP", AdaCLIPSettings, AdaCLIPModel, PRESETS, KEYS, position_resize="bicubic")
WEIGHT_DECAY = 0.01

logger = logging.getLogger(__name__)


class AdaCLIP(PromptLearningMixin, AnomalibModule, method=METHOD):  # type: ignore[misc] # the host overrides to_onnx
    """CLIP with hybrid learnable prompts for zero-shot anomaly detection (ECCV 2024, arXiv 2407.15795).

    Train it once on an auxiliary set with labels, and masks where there are any (``ZeroShotTransfer``), then use it on
    images of categories that it never saw. It reads sentences about what an image shows, which is ``class_name`` or the
    category that the data names.

    Raises:
        InputError: an argument cannot be used; the message says which one and what to do.

    Example:
        >>> from anomalib.engine import Engine
        >>> from anomalib_cops import AdaCLIP, ZeroShotTransfer
        >>> model = AdaCLIP(backbone="tiny", epochs=3)
        >>> Engine().train(model, datamodule=ZeroShotTransfer(source="synthetic", target="synthetic"))
        >>> model.save_weights("adaclip.safetensors")
    """

    _has_warned = False

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW for the trained parameters."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        return torch.optim.AdamW(trained, lr=self.learning_rate, betas=self.betas, weight_decay=WEIGHT_DECAY)

    def check_traceable(self) -> None:
        """Refuse an export to a graph with fusion."""
        check_traceable(self.model.settings)

    def extra_inputs(self, batch: Batch) -> dict[str, Any]:
        """Return the class name of every image, unless one was given for all.

        The batches of ``LabelledImages`` name the category of each image. For other batches take the category of the
        data set as a whole, or "object" if it has none.
        """
        if self.model.settings.class_name:
            return super().extra_inputs(batch)
        assert batch.image is not None
        return {"class_names": getattr(batch, "category", None) or [self._data_set_category()] * len(batch.image)}

    def setup(self, stage: str) -> None:
        """Prepare a run; warn of a missing category once per run."""
        super().setup(stage)
        self._has_warned = False

    def _data_set_category(self) -> str:
        """Return the category of the data set or datamodule in use, and "object" with a warning if there is none."""
        trainer: Any = None
        with suppress(RuntimeError):  # Lightning's error for a model that is used without a trainer
            trainer = self.trainer
        owners = [] if trainer is None else list(datasets_in_use(trainer))
        # The trainer keeps the datamodule of an earlier run in a prediction.
        if trainer is not None and trainer.state.fn not in (None, TrainerFn.PREDICTING):
            owners.append(getattr(trainer, "datamodule", None))
        names = [getattr(owner, "category", None) for owner in owners]
        category = next((name for name in names if isinstance(name, str) and name.strip()), None)
        if category is None and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "The data does not say what its images show, so AdaCLIP reads sentences about an '%s'; give "
                "class_name= to name it.",
                UNKNOWN_CLASS,
            )
        return category or UNKNOWN_CLASS


# If this import is what loaded anomalib, the start-up hook ran too early to see the class.
register()
