"""Find the class of a model and check options against its constructor."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from anomalib.models import AnomalibModule

from anomalib_cops.errors import InputError, nearest

from ..own_models import is_own_model, own_model_class

COMPONENTS = ("post_processor", "evaluator", "visualizer")
"""Arguments of constructors: parts of anomalib for thresholds, figures and pictures, which the benchmark leaves out."""


def model_class(name: str) -> type[AnomalibModule]:
    """Return the class of a model.

    Args:
        name: Name of one of this package's models, or the path of a class.

    Raises:
        InputError: The class cannot be imported, or is no anomalib model.
    """
    if is_own_model(name):
        own: type[AnomalibModule] = own_model_class(name)
        return own
    module_name, _, class_name = name.rpartition(".")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise InputError(f"the model {name} cannot be imported ({error}); give the path of a class.") from None
    cls: Any = getattr(module, class_name, None)
    if not _is_model(cls):
        models = [key for key, value in vars(module).items() if _is_model(value)]
        hint = nearest(class_name, models) if models else ""
        raise InputError(f"{module_name} has no anomalib model '{class_name}'{hint}")
    model: type[AnomalibModule] = cls
    return model


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Check that the constructor of a model has all arguments that ``options`` names.

    Raises:
        InputError: It lacks one.
    """
    parameters = inspect.signature(model_class(name).__init__).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return
    for option in options:
        if option not in parameters:
            raise InputError(f"{name} has no option '{option}'{nearest(option, [*parameters][1:])}")


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, AnomalibModule)
