"""Knowing when a result that depends on weights alone has to be computed again."""

from abc import abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.prompts.deep import DeepPrompts


class WeightsMark:
    """Notices that weights were trained, loaded, moved or written to by any road since it was last asked."""

    def __init__(self) -> None:
        self._seen: list[Tensor] | None = None
        self._places: list[tuple[int, int]] = []

    def changed(self, weights: Iterable[Tensor], frozen: Iterable[Tensor] = ()) -> bool:
        """Whether anything differs from the last call.

        Args:
            weights: the few that are trained. They are compared value by value, as writing to ``.data`` (averages of
                weights do) leaves no trace in a tensor.
            frozen: of the encoder, too many for that; they are known by place and version.
        """
        weights = list(weights)
        places = [(each.data_ptr(), 0 if each.is_inference() else each._version) for each in frozen]
        known = self._seen or []
        same = places == self._places and len(weights) == len(known) and self._seen is not None
        if same and all(_equal(now, before) for now, before in zip(weights, known, strict=True)):
            return False
        with torch.inference_mode(False):
            self._seen = [each.detach().clone() for each in weights]
        self._places = places
        return True


def _equal(one: Tensor, other: Tensor) -> bool:
    return (one.device, one.dtype, one.shape) == (other.device, other.dtype, other.shape) and torch.equal(one, other)


class PromptMemory(nn.Module):
    """A model that keeps for inference what comes of its prompts whatever the image is.

    Args:
        name: of the buffer that holds it, also in a traced graph.

    Attributes:
        clip: the frozen encoder.
        context: learned words.
        deep: learned deep prompts.
    """

    clip: FrozenCLIP
    context: nn.Parameter
    deep: DeepPrompts

    def __init__(self, name: str) -> None:
        super().__init__()
        self.register_buffer(name, torch.empty(0), persistent=False)
        self._memory = name
        self._mark = WeightsMark()

    @abstractmethod
    def to_remember(self) -> Tensor:
        """What depends on prompts and the frozen encoder alone; called without gradients, in full precision."""

    def remember(self) -> Tensor:
        """As :meth:`to_remember`, computed once per weights."""
        frozen = self.clip.model.transformer.parameters()
        # A graph that is being traced holds what was remembered before.
        if not torch.compiler.is_compiling() and self._mark.changed([self.context, *self.deep.tokens], frozen):
            device = self.context.device.type
            with torch.inference_mode(False), torch.no_grad(), torch.autocast(device, enabled=False):
                setattr(self, self._memory, self.to_remember())
        remembered: Tensor = getattr(self, self._memory)
        return remembered

    def train(self, mode: bool = True) -> "PromptMemory":
        """Switch the mode; before inference there is something to remember, so that a traced graph holds it ready."""
        super().train(mode)
        if not mode:
            self.remember()
        return self
