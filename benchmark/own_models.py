"""Look up the models of this package: the only place where the benchmark asks which there are.

Everything else, from configurations to the speed table, follows ``MODELS``.
"""

from importlib import import_module
from typing import Any

from anomalib_cops.plugin import MODELS


def own_model_names() -> tuple[str, ...]:
    """Return the names of this package's models, in the order of tables."""
    return tuple(MODELS)


def is_own_model(name: str) -> bool:
    """Return whether a name in a configuration is that of one of this package's models."""
    return name in MODELS


def own_model_class(name: str) -> Any:
    """Return the Lightning class of one of this package's models."""
    return getattr(import_module(MODELS[name]), name)


def own_model_parts(name: str) -> Any:
    """Return what tells one of this package's models from another: settings, presets, and how to build it."""
    return import_module(MODELS[name]).METHOD
