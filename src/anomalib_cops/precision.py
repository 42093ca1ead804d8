"""Full precision where half is too little, whatever ``precision`` the Trainer was given."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

Given = ParamSpec("Given")
Found = TypeVar("Found")


def in_full_precision(function: Callable[Given, Found]) -> Callable[Given, Found]:
    """Let a function compute in float32 under mixed and true half precision; otherwise nothing changes.

    Cosines near one, probabilities and small losses lose their order, and large sums their finiteness, in half
    precision. Besides, torch refuses the cross entropy of probabilities under CUDA's autocast.

    Args:
        function: of tensors; those in half precision are widened, and autocast is left.
    """

    @wraps(function)
    def full(*args: Given.args, **kwargs: Given.kwargs) -> Found:
        wide = [_widen(value) for value in args]
        named = {name: _widen(value) for name, value in kwargs.items()}
        device = next(value.device.type for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        if device == "meta" or not torch.is_autocast_enabled(device):
            return function(*wide, **named)
        with torch.autocast(device, enabled=False):
            return function(*wide, **named)

    return full


class KeepsPrecision(nn.Module):
    """Mixed in front of a module whose numbers move with the model to another device, but not to another precision."""

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> Any:
        """Change what ``fn`` changes, except the type."""

        def same_type(value: Tensor) -> Tensor:
            changed = fn(value)
            return changed if changed.dtype == value.dtype else value.to(changed.device)

        return super()._apply(same_type, *args, **kwargs)


def _widen(value: Any) -> Any:
    is_half = isinstance(value, Tensor) and value.is_floating_point() and value.dtype.itemsize < 4
    return value.float() if is_half else value
