"""Cache results of the text tower that depend only on learned prompts, not on images."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from anomalib_cops.tensors import marks_of
from anomalib_cops.tracing import tracing


class CachedText(nn.Module):
    """Cache a tensor that depends only on prompts and the frozen encoder; compute it anew when either has changed.

    The tensor is a buffer that follows the model to its device and is not saved. Switching to evaluation mode computes
    it, so that a graph traced afterwards contains its value.

    Args:
        compute: returns the tensor; called without gradients and in full precision.
        prompts: returns the few trained tensors that it depends on. They are compared value by value, since writing to
            ``.data``, as averaging of weights does, does not raise a tensor's version.
        frozen: returns the many tensors of the encoder that it depends on. They are compared by address and version.
    """

    def __init__(
        self,
        compute: Callable[[], Tensor],
        prompts: Callable[[], Iterable[Tensor]],
        frozen: Callable[[], Iterable[Tensor]],
    ) -> None:
        super().__init__()
        self.register_buffer("value", torch.empty(0), persistent=False)
        self.value: Tensor
        self._compute = compute
        self._prompts = prompts
        self._frozen = frozen
        self._seen_prompts: list[Tensor] | None = None
        self._seen_frozen: list[tuple[int, int]] = []

    def forward(self) -> Tensor:
        """Return the tensor. While a graph is traced, return the value computed before."""
        if not tracing() and self._has_changed():
            with torch.inference_mode(False), torch.no_grad(), torch.autocast(self._device(), enabled=False):
                self.value = self._compute()
        return self.value

    def train(self, mode: bool = True) -> "CachedText":
        """Switch the mode; compute the tensor before inference."""
        super().train(mode)
        if not mode:
            self()
        return self

    def _has_changed(self) -> bool:
        """Return whether the tensor's dependencies have changed since the last call; remember their state."""
        prompts = list(self._prompts())
        frozen = marks_of(self._frozen())
        seen = self._seen_prompts
        same = seen is not None and frozen == self._seen_frozen and len(prompts) == len(seen)
        if same and all(_equal(now, before) for now, before in zip(prompts, seen or [], strict=True)):
            return False
        with torch.inference_mode(False):
            self._seen_prompts = [each.detach().clone() for each in prompts]
        self._seen_frozen = frozen
        return True

    def _device(self) -> str:
        return next(iter(self._frozen())).device.type


def _equal(one: Tensor, other: Tensor) -> bool:
    return (one.device, one.dtype, one.shape) == (other.device, other.dtype, other.shape) and torch.equal(one, other)
