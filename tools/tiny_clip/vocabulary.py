"""The tokens whose rows the tiny CLIP keeps."""

import torch
from jaxtyping import Int
from torch import Tensor

from tools.tiny_clip import captions, look_captions


def vocabulary() -> Int[Tensor, " rows"]:
    """Return the ids of all tokens in captions, ascending, without those of words that stand for unknown ones."""
    pieces = (*captions.pieces(), *look_captions.pieces())
    return torch.tensor(sorted({token for piece in pieces for token in captions.ids_of(piece)} - {0}))
