"""Build the fixed sentences about a class name that AdaCLIP's text tower reads."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from anomalib_cops.encoder import FrozenCLIP

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
    """Tokenised sentences about one class name.

    Attributes:
        ids: token ids, padded to the context length.
        ends: position of the first token after the words of each sentence.
        read_outs: position of the token that the feature of each sentence is read from.
    """

    ids: Int[Tensor, "sentences tokens"]
    ends: tuple[int, ...]
    read_outs: tuple[int, ...]


def sentences(class_name: str) -> list[str]:
    """Return all sentences about a class: 28 that call it normal, then 20 that call it anomalous.

    Hyphens become spaces. Underscores stay, as in the official code; the tokenizer splits words at them.
    """
    noun = class_name.replace("-", " ")
    states = (*NORMAL_STATES, *ANOMALOUS_STATES)
    return [template.format(state.format(noun)) for state in states for template in TEMPLATES]


def tokenize(clip: FrozenCLIP, class_name: str) -> Tokens:
    """Tokenise all sentences about a class.

    Raises:
        InputError: the name is too long for the text tower.
    """
    ids = clip.text.tokenize(sentences(class_name))
    ends = clip.text.end_of_text(ids)
    return Tokens(ids, tuple(ends), tuple(clip.text.read_out(end) for end in ends))


def ensemble(features: Float[Tensor, "batch sentences dim"]) -> Float[Tensor, "batch states dim"]:
    """Return one unit vector per state, the normalised mean of its sentences' unit vectors."""
    units = F.normalize(features, dim=-1)
    states = units[:, :N_NORMAL].mean(dim=1), units[:, N_NORMAL:].mean(dim=1)
    return F.normalize(torch.stack(states, dim=1), dim=-1)
