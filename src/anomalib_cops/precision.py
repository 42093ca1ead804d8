"""Compute in full precision where half precision is not enough, whatever the Trainer's ``precision`` is."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def in_full_precision(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Make a function compute in float32 under mixed and true half precision; leave other precisions as they are.

    In half precision, cosines near one, probabilities and small losses lose their order, and large sums overflow.
    Besides, torch refuses the cross entropy of probabilities under CUDA's autocast.

    Args:
        function: takes tensors; those in half precision are widened to float32, and autocast is off while it runs.
    """

    @wraps(function)
    def full(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        wide = [_widen(value) for value in args]
        named = {name: _widen(value) for name, value in kwargs.items()}
        device = next(value.device.type for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        if device == "meta" or not torch.is_autocast_enabled(device):
            return function(*wide, **named)
        with torch.autocast(device, enabled=False):
            return function(*wide, **named)

    return full


class KeepsPrecision(nn.Module):
    """Mixin for a module whose numbers follow the model to another device but keep their precision."""

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> Any:
        """Apply ``fn`` to all tensors of the module, but keep their type."""

        def same_type(value: Tensor) -> Tensor:
            changed = fn(value)
            return changed if changed.dtype == value.dtype else value.to(changed.device)

        return super()._apply(same_type, *args, **kwargs)


def _widen(value: Any) -> Any:
    is_half = isinstance(value, Tensor) and value.is_floating_point() and value.dtype.itemsize < 4
    return value.float() if is_half else value
