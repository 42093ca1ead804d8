"""Start, limit and end a training, and refuse in words what anomalib would pass over in silence."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from anomalib.utils.path import create_versioned_dir
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from anomalib_cops.data.mask_use import has_masks
from anomalib_cops.data.train_test_overlap import DataRecord, refuse_overlap, training_sources
from anomalib_cops.errors import InputError
from anomalib_cops.host.checkpoint_io import CheckedCheckpointIO
from anomalib_cops.host.post_processing import TransferPostProcessor
from anomalib_cops.host.rereading import datasets
from anomalib_cops.host.trained_part import TrainedPartMixin
from anomalib_cops.models.checks import learns_from_pixels_alone
from anomalib_cops.weights.format import WEIGHT_SUFFIX, read_checkpoint, read_weights
from anomalib_cops.weights.header import WeightFile

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule as _Base
else:
    _Base = object

logger = logging.getLogger(__name__)


class FittingMixin(TrainedPartMixin):
    """Handle everything of a training but its steps: length, data, resuming, the test that follows.

    Attributes:
        epochs: length of a training for which anomalib's Engine is given none.
        learns_from_labels: whether images without masks teach the model something; ``ZeroShotTransfer`` leaves them out
            otherwise.
    """

    epochs: int
    learns_from_labels: ClassVar[bool] = True
    # Plain numbers, as the whole module is pickled by an export to torch.
    _trained_in: int | None = None
    _resumed_from: str | None = None
    _steps_made: int = 0

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """Arguments for the Trainer: no sanity check, and ``epochs`` unless the user gave a length.

        A sanity check would validate an untrained model. anomalib's Engine asks for this whenever one of its methods
        is called.
        """
        self._resumed_from = None
        arguments: dict[str, Any] = {"num_sanity_val_steps": 0}
        given = given_to_engine()
        if all(given.get(name) in (None, -1) for name in ("max_epochs", "max_steps", "max_time")):
            arguments["max_epochs"] = self.epochs
        return arguments

    def configure_callbacks(self) -> Any:
        """Make a versioned result folder before anomalib's callbacks write.

        A test before the first training would make a folder called ``latest``, where a training needs to put a link.
        """
        folder = Path(self.trainer.default_root_dir)
        if folder.name == "latest" and not folder.exists() and self.trainer.is_global_zero:
            create_versioned_dir(folder.parent)
        return super().configure_callbacks()

    def watch_checkpoints(self) -> None:
        """Let this model check every checkpoint before the trainer loads it, also if an earlier model did so."""
        strategy = self.trainer.strategy
        if isinstance(strategy.checkpoint_io, CheckedCheckpointIO):
            strategy.checkpoint_io.prepare = self.prepare_for
        else:
            strategy.checkpoint_io = CheckedCheckpointIO(strategy.checkpoint_io, self.prepare_for)

    def prepare_for(self, path: Path) -> WeightFile:
        """Take over the encoder and the settings that a checkpoint or weight file was made with.

        Raises:
            InputError: the file cannot be used, contradicts the constructor's arguments, or has nothing to go on from.
        """
        name, fitting = type(self).__name__, self.trainer.state.fn == TrainerFn.FITTING
        if path.suffix == WEIGHT_SUFFIX:
            if fitting:
                raise InputError(
                    f"A training cannot be resumed from the weight file {path}, which has no state of the optimiser; "
                    "give it as weights= to go on from its prompts."
                )
            file = read_weights(path, name)
        else:
            file = read_checkpoint(path, name)
        if not self._keeps_its_weights(path):
            self.adopt(file)
        return file if isinstance(self.post_processor, TransferPostProcessor) else file.without_thresholds()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Load the trained part, but not in the test at the end of ``Engine.train(ckpt_path=...)``.

        There anomalib loads the checkpoint that the training was resumed from, and would report its figures.
        """
        if self._keeps_its_weights(self.trainer.ckpt_path if self._trainer else None):
            logger.info(
                "The test uses the weights just trained, not the checkpoint that the training was resumed from."
            )
            checkpoint["state_dict"] = self.state_dict()
            checkpoint.pop("callbacks", None)  # the post-processor's thresholds are among these as well
            return
        super().on_load_checkpoint(checkpoint)

    def _keeps_its_weights(self, path: Any) -> bool:
        """Tell whether a test would load the checkpoint that the training before it was resumed from."""
        if self._trainer is None or self.trainer.state.fn != TrainerFn.TESTING:
            return False
        return self._resumed_from is not None and str(path or self._resumed_from) == self._resumed_from

    def check_data(self, stage: str) -> None:
        """Check a datamodule before hours are spent on it.

        Raises:
            InputError: the model was trained on what it is to be tested on, or has nothing to learn from.
        """
        datamodule = getattr(self.trainer, "datamodule", None)
        name = type(self).__name__
        if stage in ("fit", "test"):
            refuse_overlap(self.trained_on or [], datamodule, f"The model {name}")
        train_data = getattr(datamodule, "train_data", None)
        if stage != "fit" or getattr(train_data, "has_anomalous", True):
            if stage == "fit" and not self.learns_from_labels and not has_masks(train_data):
                raise InputError(learns_from_pixels_alone(name))
            return
        if not self.has_trained_weights:
            raise InputError(needs_anomalies(name))
        # anomalib's benchmark fits every model before it tests it.
        self.trainer.fit_loop.max_epochs = 0
        logger.warning(
            "%s keeps its weights: it learns from anomalies, and %s has normal images only to train on.",
            name,
            type(datamodule).__name__,
        )

    def has_anomalies(self, labels: Tensor) -> bool:
        """Tell whether there are anomalies in a batch or elsewhere in the training data, as far as these say."""
        data = datasets(self.trainer.train_dataloader if self._trainer else None)
        return bool(labels.any()) or any(getattr(each, "has_anomalous", True) for each in data)

    def begin_training(self) -> None:
        """Record where the training begins.

        Raises:
            InputError: the Engine has trained before, so that its Trainer would do nothing.
        """
        name, trainer = type(self).__name__, self.trainer
        self._steps_made = 0
        done = trainer.fit_loop.epoch_progress.current.completed
        if done and not trainer.ckpt_path:
            limit = trainer.max_epochs
            if self._trained_in != id(trainer) or (limit not in (None, -1) and done >= limit):
                raise InputError(
                    f"This Engine has trained for {done} epochs already and would not train {name} any more; make a "
                    "new Engine() for every training."
                )
        self._trained_in = id(trainer)

    def end_training(self) -> Path | None:
        """Write the trained part beside anomalib's checkpoint.

        Returns:
            The weight file; None if nothing was to be trained.

        Raises:
            InputError: no step was made, because the checkpoint had all its epochs already.
        """
        name, trainer = type(self).__name__, self.trainer
        if self.keeps_nothing:
            return None
        self._resumed_from = str(trainer.ckpt_path) if trainer.ckpt_path else None
        if not self._steps_made:
            raise InputError(
                f"{trainer.ckpt_path or name} has been trained for {trainer.current_epoch} epochs, and max_epochs is "
                f"{trainer.max_epochs}, so nothing was trained; raise --trainer.max_epochs."
            )
        self.trained_on = merged(self.trained_on, training_sources(getattr(trainer, "datamodule", None)))
        self.has_trained_weights = True
        if not trainer.is_global_zero:
            return None
        return self.save_weights(Path(trainer.default_root_dir) / "weights" / f"{name.lower()}{WEIGHT_SUFFIX}")

    @property
    def keeps_nothing(self) -> bool:
        """Whether this is a trial run, or a training without epochs."""
        return self.trainer.max_epochs == 0 or bool(self.trainer.fast_dev_run)  # type: ignore[attr-defined]

    def count_step(self, loss: Tensor, batch_idx: int) -> None:
        """Count a step, and stop a training that has diverged before any weights are written.

        Raises:
            InputError: naming epoch and batch.
        """
        self._steps_made += 1
        if not torch.isfinite(loss):
            raise InputError(
                f"The training of {type(self).__name__} has diverged: the loss is {loss.item()} in epoch "
                f"{self.trainer.current_epoch + 1}, batch {batch_idx + 1}; lower learning_rate. No weights were "
                "written."
            )


def given_to_engine() -> dict[str, Any]:
    """Return the Trainer arguments that the user gave to the Engine that is asking a model for its own; empty if none.

    The Engine overwrites the user's arguments by the model's and hands neither on. A Trainer cannot tell its default of
    1000 epochs from 1000 that were asked for. So look them up in the Engine's frame.
    """
    frame = sys._getframe(1)
    while frame is not None:
        asking: Any = frame.f_locals.get("self")
        if hasattr(asking, "requires_update") and isinstance(getattr(asking, "args", None), dict):
            return dict(asking.args)
        frame = frame.f_back  # type: ignore[assignment]
    return {}


def merged(before: list[DataRecord] | None, now: list[DataRecord]) -> list[DataRecord]:
    """Join the data sets of an earlier training and of this one, each once."""
    return [*(each for each in before or [] if each not in now), *now]


def needs_anomalies(model: str) -> str:
    """Return the sentence for data that has nothing to learn from."""
    return (
        f"{model} learns from normal and anomalous images of an auxiliary data set (never the target's), with masks "
        "where there are any: train it with --data ZeroShotTransfer --data.source SET --data.target SETS, or give "
        "trained weights with --model.weights FILE."
    )
