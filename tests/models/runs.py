"""Run short trainings in anomalib's Engine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalib.data import ImageBatch
from anomalib.engine import Engine
from torch import Tensor, zeros

from anomalib_cops import ZeroShotTransfer
from tests.models.cases import method


@dataclass(frozen=True)
class Trained:
    """A model after one epoch and the results of its run.

    Attributes:
        name: name of the method.
        model: the Lightning module.
        engine: engine that trained and tested the model.
        figures: metrics of its test.
        before: the encoder's state before the training.
        folder: folder with all written files.
    """

    name: str
    model: Any
    engine: Engine
    figures: dict[str, float]
    before: dict[str, Tensor]
    folder: Path


def engine(folder: Path, **trainer: object) -> Engine:
    options = {"logger": False, "accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}
    return Engine(default_root_dir=folder, **{**options, **trainer})


def transfer(**options: object) -> ZeroShotTransfer:
    chosen = {
        "source_categories": ["leather", "washer"],
        "target_categories": ["carpet"],
        "synthetic_samples": 8,
        "synthetic_size": 64,
        "num_workers": 0,
        "train_batch_size": 4,
    }
    return ZeroShotTransfer(**{**chosen, **options})


def predict(model: Any, folder: Path, images: Path) -> list[ImageBatch]:
    return engine(folder).predict(model, data_path=images)


def official_checkpoint(name: str, model: Any) -> dict[str, Any]:
    """Return what the official code would have saved of a method's trained part."""
    keys, state = method(name).keys, model.trained_state()
    official: dict[str, Any] = {key: zeros(shape) for key, shape in keys.unused(state).items()}
    for ours, value in state.items():
        if not ours.startswith(keys.optional):
            for index, key in enumerate(keys.names(ours)):
                official[key] = value[index] if ours in keys.stacked else value
    return {keys.entry: official} if keys.entry else official
