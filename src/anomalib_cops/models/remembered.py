"""Knowing when a result that depends on weights alone has to be computed again."""

from abc import abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from anomalib_cops.prompts.deep import DeepPrompts


class WeightsMark:
    """Notices that weights were trained, loaded or moved since it was last asked."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, int, int]] | None = None

    def changed(self, weights: Iterable[Tensor]) -> bool:
        """Whether any of the weights is another tensor, or was written to, since the last call.

        Weights that were made in inference mode do not count what is written to them, so they have always changed.
        """
        weights = list(weights)
        if any(weight.is_inference() for weight in weights):
            return True
        now = [(id(weight), weight.data_ptr(), weight._version) for weight in weights]
        changed, self._seen = now != self._seen, now
        return changed


class PromptMemory(nn.Module):
    """A model that keeps for inference what comes of its prompts whatever the image is.

    Args:
        name: of the buffer that holds it, also in a traced graph.

    Attributes:
        context: learned words.
        deep: learned deep prompts.
    """

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
        if not torch.compiler.is_compiling() and self._mark.changed([self.context, *self.deep.tokens]):
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
