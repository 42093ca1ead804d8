"""Metrics without their counts, to keep the counts of an unfinished run out of files."""

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn
from torchmetrics import Metric


def without_counts(modules: Mapping[str, nn.Module | None]) -> dict[str, nn.Module | None]:
    """Return the same modules, but with reset copies of those that are or contain metrics.

    Args:
        modules: Modules of a model by name; they are not changed.
    """
    return {name: module if module is None else _without_counts(module) for name, module in modules.items()}


def _without_counts(module: nn.Module) -> nn.Module:
    if isinstance(module, Metric):
        fresh: Any = copy.deepcopy(module)
        for part in fresh.modules():
            if isinstance(part, Metric):
                part.reset()
        return fresh
    if not any(isinstance(part, Metric) for part in module.modules()):
        return module
    # A shallow copy, because Lightning gives callbacks a reference to the whole model.
    holder = copy.copy(module)
    holder.__dict__["_modules"] = without_counts(module._modules)
    return holder
