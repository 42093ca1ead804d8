"""What AdaCLIP's text encoder reads about a product: fixed sentences around its class name."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from anomalib_cops.clip import FrozenCLIP, end_of_text

NORMAL_STATES = (
    "{}",
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
)
ANOMALOUS_STATES = ("damaged {}", "broken {}", "{} with flaw", "{} with defect", "{} with damage")
TEMPLATES = (
    "a bad photo of a {}.",
    "a low resolution photo of the {}.",
    "a bad photo of the {}.",
    "a cropped photo of the {}.",
)
N_NORMAL = len(NORMAL_STATES) * len(TEMPLATES)


@dataclass(frozen=True)
class Tokens:
    """Sentences of one class name as the text tower takes them.

    Attributes:
        ids: padded to the context length.
        ends: position of each sentence's end-of-text token.
    """

    ids: Int[Tensor, "sentences tokens"]
    ends: tuple[int, ...]


def sentences(class_name: str) -> list[str]:
    """All sentences about a class: 28 that call it normal, then 20 that call it anomalous.

    Hyphens become spaces. Underscores are left alone, as in the official code; the tokenizer separates words there.
    """
    noun = class_name.replace("-", " ")
    states = (*NORMAL_STATES, *ANOMALOUS_STATES)
    return [template.format(state.format(noun)) for state in states for template in TEMPLATES]


def tokenize(clip: FrozenCLIP, class_name: str) -> Tokens:
    """Token ids of all sentences about a class.

    Raises:
        InputError: the name is too long for the text tower.
    """
    ids = clip.tokenize(sentences(class_name))
    return Tokens(ids, tuple(end_of_text(ids)))


def ensemble(features: Float[Tensor, "batch sentences dim"]) -> Float[Tensor, "batch states dim"]:
    """One unit vector per state: the mean of its sentences' unit vectors."""
    units = F.normalize(features, dim=-1)
    states = units[:, :N_NORMAL].mean(dim=1), units[:, N_NORMAL:].mean(dim=1)
    return F.normalize(torch.stack(states, dim=1), dim=-1)


class TextCache:
    """Text features by class name, for as long as what they are made of stays the same.

    What they are made of is compared by value: a few prompts, and no way of changing them goes unnoticed.
    """

    def __init__(self) -> None:
        self._made_of: list[Tensor] = []
        self._made_on: tuple[object, ...] = ()
        self._features: dict[str, Tensor] = {}

    def get(
        self,
        class_names: Sequence[str],
        parameters: Iterable[Tensor],
        device: torch.device,
        make: Callable[[list[str]], Float[Tensor, "names states dim"]],
    ) -> Float[Tensor, "batch states dim"]:
        """Features of each class name, made for those that are new.

        Args:
            class_names: one per image.
            parameters: what the features depend on, besides the names and the frozen encoder.
            device: where it all happens.
            make: class names → features.
        """
        current = [parameter.detach() for parameter in parameters]
        where = (device, torch.is_autocast_enabled(device.type))
        if where != self._made_on or not all(map(torch.equal, current, self._made_of)):
            self._features.clear()
            self._made_of, self._made_on = [parameter.clone() for parameter in current], where
        # Without inference mode, whose tensors a later training step could not use.
        with torch.inference_mode(False), torch.no_grad():
            if new := [name for name in dict.fromkeys(class_names) if name not in self._features]:
                self._features.update(zip(new, make(new), strict=True))
            return torch.stack([self._features[name] for name in class_names])
