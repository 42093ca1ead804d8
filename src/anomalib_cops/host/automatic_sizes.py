"""Choose the numbers of prototypes and of samples in training, where the user leaves them to it."""

import logging
from typing import Any

import torch
from anomalib.data import Batch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from anomalib_cops.errors import InputError
from anomalib_cops.host.prompt_learning import PromptLearningMixin
from anomalib_cops.host.prototype_search import best_prototype_count, with_prototypes
from anomalib_cops.models.cops.sample_count import enough_samples, use_samples

IMAGES = 8
"""Number of training images, the latest, whose text features decide on the number of samples."""

logger = logging.getLogger(__name__)


class AutomaticSizesMixin(PromptLearningMixin):
    """Replace the numbers of a model that were given as "auto".

    ``n_prototypes`` is chosen once, before the first training of a model without weights, as the shapes of the prompts
    depend on it. ``n_samples`` is chosen whenever prompts that were just trained are validated or saved. The settings
    hold the numbers, so that weight files, checkpoints and exports have them.
    """

    # Of the current training; plain values, as the whole module is pickled by an export to torch.
    _latest_images: Tensor | None = None
    _samples_are_due: bool = False

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Choose the number of prototypes, then return the optimiser. By now a checkpoint to resume from is loaded.

        Raises:
            InputError: there are several processes, or the data does not allow a choice.
        """
        if "n_prototypes" in self.request.automatic and not self.keeps_nothing and not self.has_trained_weights:
            self._choose_prototypes()
        return super().configure_optimizers()

    def _choose_prototypes(self) -> None:
        trainer = self.trainer
        if trainer.world_size > 1:
            raise InputError(
                f"n_prototypes='auto' chooses in one process, and this training has {trainer.world_size}; train with "
                "devices=1, or give a number such as n_prototypes=6."
            )
        self.clip.widen_text()
        count = best_prototype_count(self, getattr(trainer, "datamodule", None))
        if count != self.model.settings.n_prototypes:
            self.model = with_prototypes(self, count, self.seed)
            self.record_arguments()

    def on_fit_start(self) -> None:
        """Forget an earlier training."""
        super().on_fit_start()
        self._latest_images, self._samples_are_due = None, False

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Keep some of the images for the choice of the number of samples."""
        loss = super().training_step(batch, batch_idx)
        if "n_samples" in self.request.automatic:
            assert batch.image is not None
            before = [] if self._latest_images is None else [self._latest_images]
            self._latest_images = torch.cat([batch.image, *before])[:IMAGES]
            self._samples_are_due = True
        return loss

    def on_validation_start(self) -> None:
        """Choose the number of samples before thresholds are found with it."""
        super().on_validation_start()
        if self.trainer.state.fn == TrainerFn.FITTING:
            self._choose_samples()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Choose the number of samples before it is recorded, also between two validations."""
        self._choose_samples()
        hyperparameters = checkpoint.get(self.CHECKPOINT_HYPER_PARAMS_KEY, {})
        if "n_samples" in hyperparameters:
            hyperparameters["n_samples"] = self.model.settings.n_samples
        super().on_save_checkpoint(checkpoint)

    def on_train_end(self) -> None:
        """Choose the number of samples for the prompts that the training ends with."""
        super().on_train_end()
        self._choose_samples()
        self._latest_images = None
        if "n_samples" in self.request.automatic:
            logger.info("n_samples=%d was chosen.", self.model.settings.n_samples)

    def _choose_samples(self) -> None:
        """Choose the number of samples if a step was made since the last choice; the same in every process."""
        if not self._samples_are_due or self._latest_images is None:
            return
        with torch.inference_mode(False):
            count = enough_samples(self.model, self._latest_images)
            use_samples(self.model, self.trainer.strategy.broadcast(count))
        self._samples_are_due = False
        self.record_arguments()
