"""What metrics have counted, kept out of files."""

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn
from torchmetrics import Metric


def without_counts(modules: Mapping[str, nn.Module | None]) -> dict[str, nn.Module | None]:
    """The same modules; those that are or hold metrics are copies whose metrics have counted nothing.

    Args:
        modules: of a model, by name; they stay as they are.
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
    # Not a deep copy: Lightning gives callbacks a reference to the whole model.
    holder = copy.copy(module)
    holder.__dict__["_modules"] = without_counts(module._modules)
    return holder
