"""Give models a few good images of the category that is tested, each in its own way."""

import inspect
import io
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import Any

from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from anomalib_cops.data import LabelledImages
from anomalib_cops.errors import InputError

from ..measure.inference import resized_as_the_model_does
from ..own_models import is_own_model
from ..plan.cells import Cell
from ..plan.data_settings import DataSettings
from ..plan.model_class import model_class

FALSE_ALARM_RATE = 0.05
"""Share of good images that thresholds are calibrated for."""
FEWEST_TO_CALIBRATE = 2
"""Each reference is scored by the others, so a single one has no score."""


def check_model(cell: Cell) -> None:
    """Refuse a model that references cannot be given to.

    Raises:
        InputError: It is not of this package, is not fitted on references, and takes no folder of them.
    """
    name = cell.training.model
    if cell.references is None or not cell.references.shots:
        return
    if is_own_model(name) or cell.training.is_fitted_on_references:
        return
    parameters = inspect.signature(model_class(name).__init__).parameters
    if "k_shot" not in parameters:
        raise InputError(
            f"{name} takes no reference images, as it has no argument k_shot; give the method fitted_on: references if "
            "it learns from good images, or leave it out."
        )


def compare_with(model: Any, paths: Sequence[str], device: str) -> None:
    """Let a model of this package compare with references, and calibrate its thresholds if these suffice.

    Args:
        model: The model.
        paths: Files, or addresses of synthetic pictures; at least one.
        device: Lightning's accelerator.
    """
    model.to(Trainer(accelerator=device, devices=1, logger=False).strategy.root_device)
    model.load_references(list(paths))
    if len(paths) >= FEWEST_TO_CALIBRATE:
        model.calibrate(None, false_alarm_rate=FALSE_ALARM_RATE)


def fit_on(model: Any, images: LabelledImages, settings: DataSettings, **trainer: Any) -> None:
    """Train a model of others on references, with the arguments that it asks of its trainer.

    Args:
        model: The model.
        images: The references.
        settings: Batch size.
        **trainer: Arguments of Lightning's trainer.
    """
    resized_as_the_model_does(images, model)
    loader = DataLoader(images, settings.train_batch_size, shuffle=True, collate_fn=images.collate_fn)
    arguments = {"max_epochs": 1, **model.trainer_arguments, **trainer, "enable_checkpointing": False}
    # Models of a memory of patches print a progress bar, and Lightning warns that nothing is validated.
    with redirect_stderr(io.StringIO()):
        Trainer(**arguments).fit(model, train_dataloaders=loader)


def prepared_for(model: Any, images: LabelledImages) -> LabelledImages:
    """Let a data set prepare its images as a few-shot model of anomalib prepares those of the test.

    Such a model takes references from its datamodule as they come: it normalises only what is tested.
    """
    images.augmentations = model.pre_processor.transform
    return images


def image_threshold(model: Any) -> float | None:
    """Return the threshold of raw image scores of a model of this package; None if it has none."""
    threshold = getattr(model.post_processor, "_image_threshold", None)
    return None if threshold is None or bool(threshold.isnan()) else float(threshold)
