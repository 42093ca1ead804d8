"""Models by name or class path: made, trained and loaded as anomalib does it."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from anomalib import LearningType
from anomalib.models import AnomalibModule

import anomalib_cops
from anomalib_cops.errors import InputError, nearest
from anomalib_cops.host.prompt_learning import PromptLearningMixin
from anomalib_cops.plugin import MODELS

# Thresholds, figures and pictures of anomalib's are left out, so that scores stay raw.
BARE = {"post_processor": False, "evaluator": False, "visualizer": False}
WEIGHTS = "weights.safetensors"
CHECKPOINT = "model.ckpt"


def model_class(name: str) -> type[AnomalibModule]:
    """A class of models.

    Args:
        name: One of this package's, or the path of a class.

    Raises:
        InputError: There is none.
    """
    if name in MODELS:
        found: type[AnomalibModule] = getattr(anomalib_cops, name)
        return found
    home, _, short = name.rpartition(".")
    try:
        module = import_module(home)
    except ImportError as error:
        raise InputError(f"the model {name} cannot be imported ({error}); give the path of a class.") from None
    cls = getattr(module, short, None)
    if not (isinstance(cls, type) and issubclass(cls, AnomalibModule)):
        known = [
            key for key, each in vars(module).items() if isinstance(each, type) and issubclass(each, AnomalibModule)
        ]
        raise InputError(f"{home} has no anomalib model '{short}'{nearest(short, known) if known else ''}")
    return cls


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Compare options with a class's constructor.

    Raises:
        InputError: It has no such argument.
    """
    parameters = inspect.signature(model_class(name).__init__).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return
    for option in options:
        if option not in parameters:
            raise InputError(f"{name} has no option '{option}'{nearest(option, [*parameters][1:])}")


def build(name: str, options: Mapping[str, Any]) -> AnomalibModule:
    """Make a model without anomalib's components behind it, as far as its constructor can leave them out.

    Scores are raw then. A model of this package keeps its post-processor for the training, which finds thresholds for
    the weight file.
    """
    return model_class(name)(**_bare(name), **options)


def build_for_training(name: str, options: Mapping[str, Any]) -> AnomalibModule:
    """Make a model that is to be trained."""
    bare = _bare(name)
    if name in MODELS:
        del bare["post_processor"]
    return model_class(name)(**bare, **options)


def load(name: str, options: Mapping[str, Any], path: Path | None) -> AnomalibModule:
    """A model for testing, with what ``save`` wrote, or as it is."""
    if path is None:
        return build(name, options)
    if name in MODELS:
        return build(name, {**options, "weights": str(path)})
    loaded: AnomalibModule = model_class(name).load_from_checkpoint(path, **_bare(name), **options)
    return loaded


def save(model: AnomalibModule, trainer: Any, folder: Path) -> Path:
    """Write what was trained: our models' own part, or a checkpoint."""
    if isinstance(model, PromptLearningMixin):
        return model.save_weights(folder / WEIGHTS)
    trainer.save_checkpoint(folder / CHECKPOINT, weights_only=True)
    return folder / CHECKPOINT


def is_trainable(model: AnomalibModule) -> bool:
    """Whether there is anything to train: not for models that are zero-shot as they are."""
    return bool(model.learning_type == LearningType.ONE_CLASS)


def _bare(name: str) -> dict[str, Any]:
    parameters = inspect.signature(model_class(name).__init__).parameters
    return {key: value for key, value in BARE.items() if key in parameters}
