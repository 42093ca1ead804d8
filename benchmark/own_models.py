"""Look up the models of this package: the only place where the benchmark asks which there are.

Everything else, from configurations to the speed table, follows the registry through it.
"""

from typing import TYPE_CHECKING, Any

from anomalib_cops.registry import MODELS

if TYPE_CHECKING:  # it imports torch, which takes seconds
    from anomalib_cops.models.method import Method


def own_model_names() -> tuple[str, ...]:
    """Return the names of this package's models, in the order of tables."""
    return tuple(MODELS)


def is_own_model(name: str) -> bool:
    """Return whether a name in a configuration is that of one of this package's models."""
    return name in MODELS


def own_model_class(name: str) -> Any:
    """Return the Lightning class of one of this package's models."""
    return MODELS[name].lightning_class


def own_model_parts(name: str) -> "Method":
    """Return what tells one of this package's models from another: settings, presets, and how to build it."""
    method: Method = MODELS[name].method
    return method
