"""The part that the Lightning modules of all methods share: constructor, steps, anomalib's components."""

import logging
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar, TypeVar

import torch
from anomalib import LearningType
from anomalib.data import Batch
from anomalib.metrics import Evaluator
from lightning.pytorch import Callback
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from anomalib_cops.data.category_batch import check_levels, known_masks, refuse_mixture
from anomalib_cops.data.unit_range import to_unit_range
from anomalib_cops.errors import InputError
from anomalib_cops.host.components import Components, constructor, documented, model_arguments
from anomalib_cops.host.evaluator import paper_evaluator
from anomalib_cops.host.exporting import WholeExportMixin
from anomalib_cops.host.feature_cache import CacheOptions, FeatureCache, features_of, paths_of_files
from anomalib_cops.host.fitting import FittingMixin, needs_anomalies
from anomalib_cops.host.monitoring import check_precision, given_terms, loss_name, provide_monitored
from anomalib_cops.host.post_processing import TransferPostProcessor
from anomalib_cops.host.pre_processing import ClipPreProcessor
from anomalib_cops.host.prediction_report import PredictionReport
from anomalib_cops.host.reading_ahead import ReadAhead
from anomalib_cops.host.reference_images import ReferenceOptions
from anomalib_cops.host.rereading import Rereader
from anomalib_cops.host.runtime import RuntimeOptions
from anomalib_cops.host.tiling import TileOptions, joined
from anomalib_cops.host.untrue_warning import hide_untrue_warning
from anomalib_cops.host.visualizer import TransferVisualizer
from anomalib_cops.metrics.states import without_counts
from anomalib_cops.models.assembly import ADAM_BETAS, assemble
from anomalib_cops.models.method import Method
from anomalib_cops.models.request import Request
from anomalib_cops.tiles import parse_tiles
from anomalib_cops.tracing import tracing

logger = logging.getLogger(__name__)
hide_untrue_warning()
Declaration = TypeVar("Declaration")


class PromptLearningMixin(WholeExportMixin, FittingMixin):  # type: ignore[misc] # to_onnx is the host's
    """Train on an auxiliary set, use the model zero-shot elsewhere, and save only what was trained.

    A method's Lightning class mixes this in front of ``AnomalibModule`` and names its method::

        class CoPS(PromptLearningMixin, AnomalibModule, method=METHOD):

    Its constructor and the "Args:" of its docstring are made of the dataclasses that declare the arguments, see
    :func:`~anomalib_cops.host.components.model_arguments`. A method that needs more than images overrides
    :meth:`extra_inputs`.

    Attributes:
        method: what the class is made from.
        logged_terms: names of the terms of the loss that the current training logs.
        learns_from_anomalies: ``ZeroShotTransfer`` trains other models of anomalib on normal images only.
    """

    method: ClassVar[Method]
    learns_from_anomalies: ClassVar[bool] = True
    pre_processor: Any
    visualizer: Any
    evaluator: Any
    epochs: int
    learning_rate: float
    seed: int | None
    logged_terms: tuple[str, ...] = ()
    betas: tuple[float, float] = ADAM_BETAS

    def __init_subclass__(cls, method: Method | None = None, **rest: Any) -> None:
        """Make the constructor of a class that names its method."""
        super().__init_subclass__(**rest)
        if method is None:
            return
        cls.method = method
        arguments = model_arguments(method)
        cls.__init__ = constructor(arguments, PromptLearningMixin.__init__)  # type: ignore[method-assign]
        cls.__doc__ = documented(cls.__doc__ or "", arguments)

    def __init__(self, **arguments: Any) -> None:
        """Build the torch model that the arguments ask for, and load its weights.

        Raises:
            InputError: an argument cannot be used, or features are to be cached that change in every step.
        """
        assembled = assemble(Request.of(self.method, arguments))
        components = _fill(Components, arguments)
        if components.pre_processor is True:
            components = replace(components, pre_processor=self.pre_processor_of(assembled.model.clip))
        super().__init__(**vars(components))
        self.cache_options = _fill(CacheOptions, arguments)
        if self.cache_options.feature_cache and assembled.model.frozen_features is None:
            raise InputError(
                f"{type(self).__name__} puts prompts into the image tower, so its features change in every step and "
                "cannot be cached; leave feature_cache out."
            )
        self.feature_cache: FeatureCache | None = None
        self.reference_options = _fill(ReferenceOptions, arguments)
        self.tile_options = _fill(TileOptions, arguments)
        self.runtime_options = _fill(RuntimeOptions, arguments)
        self.runtime_options.apply(assembled.model, type(self).__name__)
        self.request = assembled.request
        self.model = assembled.model
        self.epochs = assembled.epochs
        self.learning_rate = assembled.learning_rate
        self.seed = assembled.request.common.seed
        self.has_trained_weights = False
        self.trained_on = assembled.trained_on
        self.use_tiles(parse_tiles(self.tile_options.tiles))
        self._references_are_due = self.wants_references
        self.hparams.update(epochs=self.epochs, learning_rate=self.learning_rate)
        self.record_arguments()
        if assembled.file is not None:
            self.load_weights(assembled.file)
        if assembled.official:
            self.model.load_state_dict(assembled.official, strict=False)
            self.has_trained_weights = True

    def __getstate__(self) -> dict[str, Any]:
        """Leave the counts of metrics out of copies, pickles and exports."""
        state: dict[str, Any] = super().__getstate__()
        return {**state, "_modules": without_counts(state["_modules"])}

    def extra_inputs(self, batch: Any) -> dict[str, Any]:
        """Return by name what the model takes besides the images: cached features, if training keeps them."""
        if self.feature_cache is None:
            return {}
        return {"features": self.feature_cache(batch.image, batch.image_path)}

    @property
    def learning_type(self) -> LearningType:
        """ONE_CLASS, the only type that anomalib's Engine trains; it would only validate a ZERO_SHOT model in ``fit``.

        ``has_trained_weights`` tells whether the model is ready for zero-shot use.
        """
        return LearningType.ONE_CLASS

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam for the trained parameters."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        return torch.optim.Adam(trained, lr=self.learning_rate, betas=self.betas)

    def configure_post_processor(self) -> TransferPostProcessor:
        """Return a post-processor that keeps the order of scores and takes thresholds from the auxiliary set."""
        return TransferPostProcessor()

    @staticmethod
    def configure_pre_processor(image_size: tuple[int, int] | None = None) -> ClipPreProcessor:
        """Return Pillow's bicubic resizing and CLIP's normalisation; 518 pixels if no size is given.

        A model replaces CLIP's mean and std by those of its encoder, see :meth:`pre_processor_of`.
        """
        return ClipPreProcessor(image_size or (518, 518))

    @staticmethod
    def configure_evaluator() -> Evaluator:
        """Return the metrics that papers report."""
        return paper_evaluator()

    @classmethod
    def configure_visualizer(cls) -> TransferVisualizer:
        """Return anomalib's visualizer, adapted to images of any shape and to synthetic pictures."""
        return TransferVisualizer()

    def configure_callbacks(self) -> Sequence[Callback]:
        """Return anomalib's components, between readers of images and a report on predictions."""
        return [ReadAhead(), Rereader(), *super().configure_callbacks(), PredictionReport(self.visualizer)]

    def setup(self, stage: str) -> None:
        """Check checkpoint, data, precision and callbacks before anything runs."""
        super().setup(stage)
        self.watch_checkpoints()
        self.check_data(stage)
        self.reference_files()
        self.check_tiles(stage, getattr(self.trainer, "datamodule", None))
        if stage == "fit":
            check_precision(self.trainer)
            data = getattr(self.trainer, "datamodule", None)
            self.logged_terms = given_terms(self.model, getattr(data, "train_data", None))
            provide_monitored(self.trainer, self.logged_terms, self.evaluator, getattr(data, "val_data", None))

    def train_dataloader(self) -> Any:
        """Refuse to train without data, and say what to train on.

        Raises:
            InputError: always, as a datamodule's loader takes precedence over this one.
        """
        raise InputError(needs_anomalies(type(self).__name__))

    def val_dataloader(self) -> Sequence[Any]:
        """Return no loaders: anomalib may validate a model before a prediction, when there is no data to do it on."""
        return []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute and log the loss of one batch of the auxiliary set; a term of pixels is 0 in a batch without masks.

        Raises:
            InputError: there is nothing to learn from, or the training has diverged.
        """
        if batch.gt_label is None or (batch.gt_mask is None and not self.has_anomalies(batch.gt_label)):
            raise InputError(needs_anomalies(type(self).__name__))
        check_levels(batch)
        assert batch.image is not None
        labels, known = batch.gt_label.float(), known_masks(batch)
        masks = torch.zeros_like(batch.image[:, 0]) if batch.gt_mask is None else batch.gt_mask.float()
        inputs = self.extra_inputs(batch) | ({} if known is None else {"masked": known})
        terms = self.model.loss(batch.image, masks, labels, **inputs)
        self.count_step(terms["loss"], batch_idx)
        size, absent = int(batch.gt_label.shape[0]), torch.zeros_like(terms["loss"])
        for name, value in {**dict.fromkeys(self.logged_terms, absent), **terms}.items():
            self.log(
                loss_name(name), value.detach(), on_step=False, on_epoch=True, prog_bar=name == "loss", batch_size=size
            )
        return terms["loss"]

    def on_fit_start(self) -> None:
        """Set the seed, if one was given; the same in every process, as they share what they draw."""
        super().on_fit_start()
        self.begin_training()
        self.clip.widen_text()
        if self.seed is not None:
            torch.manual_seed(self.seed)

    def on_train_start(self) -> None:
        """Forget what the prompts before gave, and open the feature cache, if one is wanted.

        Raises:
            InputError: images are augmented, data does not name its files, or the cache cannot be used.
        """
        self.unload_references()
        self.forget_thresholds()
        if not self.cache_options.feature_cache:
            return
        paths = paths_of_files([self.trainer.train_dataloader, self.trainer.val_dataloaders])
        self.feature_cache = features_of(self, self.cache_options, self.trainer.precision, paths)

    def on_train_end(self) -> None:
        """Leave the feature cache; validation and tests run the encoder."""
        self.feature_cache = None

    def on_fit_end(self) -> None:
        """Write the trained part beside anomalib's checkpoint, ready for ``weights``."""
        if path := self.end_training():
            logger.info("The trained prompts are in %s.", path)

    def validation_step(self, batch: Batch, batch_idx: int) -> Any:
        """Score held-out images; the post-processor takes thresholds from them."""
        check_levels(batch)
        refuse_mixture(batch)
        return batch.update(**self.predict_batch(batch))

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Score the images of a target; anomalib's own step would leave out what the model needs besides images."""
        return self.validation_step(batch, batch_idx)

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Score images without labels."""
        return self.validation_step(batch, batch_idx)

    def forward(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
        """Score images (batch 3 height width) with levels in [0, 1]; see ``AnomalibModule.forward``."""
        self.load_due_references()
        if self.tiling is not None and not tracing():
            return joined(self.predict_images(list(to_unit_range(batch))))
        return super().forward(batch, *args, **kwargs)

    def on_validation_start(self) -> None:
        """Get the references ready, unless this is a part of a training."""
        if self.trainer.state.fn != TrainerFn.FITTING:
            self.begin_with_references(is_test=True)

    def on_test_start(self) -> None:
        """Warn before an untrained model is tested, and get the references ready."""
        self._warn_if_untrained()
        self.begin_with_references(is_test=True)

    def on_predict_start(self) -> None:
        """Warn before an untrained model predicts, and get the references ready."""
        self._warn_if_untrained()
        self.begin_with_references(is_test=False)

    def _warn_if_untrained(self) -> None:
        if not self.has_trained_weights:
            logger.warning(
                "%s has no trained weights, so its scores mean nothing: train it, or give weights= or ckpt_path.",
                type(self).__name__,
            )


def _fill(declaration: type[Declaration], arguments: dict[str, Any]) -> Declaration:
    """Make a dataclass of the arguments that it declares."""
    return declaration(**{each.name: arguments[each.name] for each in fields(declaration)})  # type: ignore[arg-type]
