"""What AdaCLIP's text encoder reads about a product: fixed sentences around its class name."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.models.remembered import WeightsMark

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
    ids = clip.text.tokenize(sentences(class_name))
    return Tokens(ids, tuple(clip.text.end_of_text(ids)))


def ensemble(features: Float[Tensor, "batch sentences dim"]) -> Float[Tensor, "batch states dim"]:
    """One unit vector per state: the mean of its sentences' unit vectors."""
    units = F.normalize(features, dim=-1)
    states = units[:, :N_NORMAL].mean(dim=1), units[:, N_NORMAL:].mean(dim=1)
    return F.normalize(torch.stack(states, dim=1), dim=-1)


class TextCache:
    """Text features by class name, for as long as the weights that they are made of stay the same."""

    def __init__(self) -> None:
        self._mark = WeightsMark()
        self._features: dict[str, Float[Tensor, "states dim"]] = {}

    def get(
        self,
        class_names: Sequence[str],
        weights: Iterable[Tensor],
        frozen: Iterable[Tensor],
        make: Callable[[list[str]], Float[Tensor, "names states dim"]],
    ) -> Float[Tensor, "names states dim"]:
        """Features of each class name, made for those that are new.

        Args:
            class_names: may repeat.
            weights: prompts that the features depend on, besides the names.
            frozen: of the encoder.
            make: class names → features.
        """
        if self._mark.changed(weights, frozen):
            self._features.clear()
        if new := [name for name in dict.fromkeys(class_names) if name not in self._features]:
            self._features.update(zip(new, make(new), strict=True))
        return torch.stack([self._features[name] for name in class_names])
