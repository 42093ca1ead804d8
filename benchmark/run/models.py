"""Make, save and load models as anomalib does, without its components that a benchmark has no use for."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anomalib import LearningType
from anomalib.models import AnomalibModule

from anomalib_cops.host.prompt_learning import PromptLearningMixin

from ..own_models import is_own_model
from ..plan.model_class import COMPONENTS, model_class

WEIGHTS = "weights.safetensors"
CHECKPOINT = "model.ckpt"


def build(name: str, options: Mapping[str, Any]) -> AnomalibModule:
    """Make a model without anomalib's components, as far as its constructor can leave them out.

    One of this package keeps its post-processor, which finds thresholds in training and holds them in the test.
    """
    return model_class(name)(**_without_components(name), **options)


def load(name: str, options: Mapping[str, Any], path: Path | None) -> AnomalibModule:
    """Make a model to test.

    Args:
        name: Name of one of this package's models, or the path of a class.
        options: Arguments of its constructor.
        path: File that :func:`save` wrote; None for a model that needs no training.
    """
    if path is None:
        return build(name, options)
    if is_own_model(name):
        return build(name, {**options, "weights": str(path)})
    loaded: AnomalibModule = model_class(name).load_from_checkpoint(path, **_without_components(name), **options)
    return loaded


def save(model: AnomalibModule, trainer: Any, folder: Path) -> Path:
    """Write what was trained and return the file: the prompts of this package's models, a checkpoint of others."""
    if isinstance(model, PromptLearningMixin):
        return model.save_weights(folder / WEIGHTS)
    trainer.save_checkpoint(folder / CHECKPOINT, weights_only=True)
    return folder / CHECKPOINT


def is_trainable(model: AnomalibModule) -> bool:
    """Return whether a model has anything to train; zero-shot models of anomalib have not."""
    return bool(model.learning_type == LearningType.ONE_CLASS)


def _without_components(name: str) -> dict[str, Any]:
    parameters = inspect.signature(model_class(name).__init__).parameters
    kept = ("post_processor",) if is_own_model(name) else ()
    return {component: False for component in COMPONENTS if component in parameters and component not in kept}
