"""AdaCLIP as an anomalib model."""

import logging
from typing import Any, Literal

import torch
from anomalib.data import Batch
from anomalib.metrics import Evaluator
from anomalib.models import AnomalibModule
from anomalib.visualization import Visualizer
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn

from anomalib_cops.host.feature_cache import CacheOptions
from anomalib_cops.host.prompt_learning import PromptLearningMixin
from anomalib_cops.host.rereading import datasets
from anomalib_cops.models.ada_clip.official import KEYS
from anomalib_cops.models.ada_clip.settings import PRESETS, AdaCLIPSettings, check_traceable
from anomalib_cops.models.ada_clip.torch_model import UNKNOWN_CLASS, AdaCLIPModel
from anomalib_cops.models.assembly import Method, Start, assemble
from anomalib_cops.plugin import register

METHOD = Method("AdaCLIP", AdaCLIPSettings, AdaCLIPModel, PRESETS, KEYS, position_resize="bicubic")
WEIGHT_DECAY = 0.01
LOADERS = {
    TrainerFn.FITTING: ("train_dataloader", "val_dataloaders"),
    TrainerFn.VALIDATING: ("val_dataloaders",),
    TrainerFn.TESTING: ("test_dataloaders",),
    TrainerFn.PREDICTING: ("predict_dataloaders",),
}
"""Attributes of the trainer that hold the loaders in use, by what the trainer does."""

logger = logging.getLogger(__name__)


class AdaCLIP(PromptLearningMixin, AnomalibModule):  # type: ignore[misc] # the host overrides Lightning's to_onnx
    """CLIP with hybrid learnable prompts for zero-shot anomaly detection (ECCV 2024, arXiv 2407.15795).

    Train it once on an auxiliary set with labels and masks (``ZeroShotTransfer``), use it on images of categories
    that it never saw. It reads sentences about what an image shows: the category that the data names, or
    ``class_name``. What is not given comes from the weight file, then from the preset.

    Args:
        backbone: open_clip ViT, or "tiny" for the embedded stand-in that works offline; ViT-L-14-336 by default.
        pretrained: open_clip tag or local weight file of the backbone; "openai" by default.
        image_size: side of the model's input in pixels, a multiple of the patch; 518 for 14-pixel patches.
        quick_gelu: the activation; the exact GELU by default, as official, although OpenAI's weights were trained with
            QuickGELU.
        weights: trained prompts: a file from ``save_weights``, an official checkpoint, or "mvtec_colondb",
            "visa_clinicdb" or "all" for a published one; the model is zero-shot at once.
        preset: name of the auxiliary set: "mvtec_colondb", "visa_clinicdb", "all", "mvtec", "visa" or "default"; the
            official settings are the same for all.
        epochs: length of the training unless the trainer is told otherwise; 5 by default.
        learning_rate: of AdamW; 0.01 by default.
        branch: towers that get prompts: "V", "L" (text), "VL" or "" for none.
        prompts: what these are: "S" static, "D" dynamic, "SD" their sum.
        depth: blocks that get prompts; the first text block is counted and gets none.
        length: prompts per block.
        layers: 1-based vision blocks whose patches are used; four, evenly spaced, by default.
        fusion: mix the class feature with the clustered features of the most anomalous patches (HSF).
        clusters: of that fusion, K.
        sigma: smoothing of the anomaly map in pixels of the model's input.
        half_prompts: as published, round prompts to float16.
        class_name: what all images show; by default the category that the data names, else "object".
        clustering: "fixed" starts k-means from the same seed for every image, "stream" goes on in numpy's global
            random numbers as the official code.
        dice_over: one Dice loss per "image", or per pixel "row" as the official code's batches of one.
        seed: of k-means, of the first prompts and of what training draws; for the last two the global one
            (``seed_everything``) if not given.
        feature_cache: refused: prompts enter the image tower, so its features change in every step.
        pre_processor: True for Pillow's bicubic resizing and CLIP's normalisation.
        post_processor: True for order-preserving scores with thresholds from the auxiliary set.
        evaluator: True for image and pixel AUROC and AP, image F1-max, and AUPRO.
        visualizer: True for anomalib's.

    Raises:
        InputError: whatever cannot be used, in one sentence.

    Example:
        >>> from anomalib.engine import Engine
        >>> from anomalib_cops import AdaCLIP, ZeroShotTransfer
        >>> model = AdaCLIP(backbone="tiny", epochs=3)
        >>> Engine().train(model, datamodule=ZeroShotTransfer(source="synthetic", target="synthetic"))
        >>> model.save_weights("adaclip.safetensors")
    """

    def __init__(
        self,
        backbone: str | None = None,
        pretrained: str | None = None,
        image_size: int | None = None,
        quick_gelu: bool | None = None,
        weights: str | None = None,
        preset: str | None = None,
        epochs: int | None = None,
        learning_rate: float | None = None,
        branch: Literal["", "V", "L", "VL"] | None = None,
        prompts: Literal["", "S", "D", "SD"] | None = None,
        depth: int | None = None,
        length: int | None = None,
        layers: list[int] | None = None,
        fusion: bool | None = None,
        clusters: int | None = None,
        sigma: float | None = None,
        half_prompts: bool | None = None,
        class_name: str | None = None,
        clustering: Literal["fixed", "stream"] | None = None,
        dice_over: Literal["image", "row"] | None = None,
        seed: int | None = None,
        feature_cache: str | None = None,
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        start = Start(backbone, pretrained, image_size, quick_gelu, weights, preset, epochs, learning_rate, seed)
        parts = assemble(METHOD, start, locals())
        super().__init__(self.pre_processor_for(parts, pre_processor), post_processor, evaluator, visualizer)
        self.take(parts, CacheOptions(feature_cache) if feature_cache else None)
        self._has_warned = False

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on the trained parameters."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        return torch.optim.AdamW(trained, lr=self.learning_rate, betas=self.betas, weight_decay=WEIGHT_DECAY)

    def check_traceable(self) -> None:
        """Refuse to become a graph with fusion."""
        check_traceable(self.model.settings)

    def conditions(self, batch: Batch) -> dict[str, Any]:
        """Return the class name of every image, unless one was given for all.

        The batches of ``LabelledImages`` name the category of each image. For other batches take the category of the
        data set as a whole, or "object" if it has none.
        """
        if self.model.settings.class_name:
            return {}
        assert batch.image is not None
        return {"class_names": getattr(batch, "category", None) or [self._data_set_category()] * len(batch.image)}

    def setup(self, stage: str) -> None:
        """Prepare a run, in which a missing category is warned of once."""
        super().setup(stage)
        self._has_warned = False

    def _data_set_category(self) -> str:
        """Return the category of the data set or datamodule in use, and "object" with a warning if there is none."""
        fn = self.trainer.state.fn
        # The trainer keeps the loaders and the datamodule of earlier runs, so look at those in use only.
        loaders = [getattr(self.trainer, name, None) for name in LOADERS[fn]] if fn is not None else []
        owners = [dataset for each in loaders for dataset in datasets(each)]
        if fn != TrainerFn.PREDICTING:
            owners.append(getattr(self.trainer, "datamodule", None))
        names = [getattr(owner, "category", None) for owner in owners]
        found = next((name for name in names if isinstance(name, str) and name.strip()), None)
        if found is None and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "The data does not say what its images show, so AdaCLIP reads sentences about an '%s'; give "
                "class_name= to name it.",
                UNKNOWN_CLASS,
            )
        return found or UNKNOWN_CLASS


# Where this import is what loaded anomalib, its hook ran too early to see the class.
register()
