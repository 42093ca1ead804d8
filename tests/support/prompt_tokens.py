"""Compute the token ids and padding of the official code, which ours omits as no result depends on them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

SLOT_ID = 49408
"""Id after the last word of CLIP's vocabulary; VCP-CLIP's code puts it in the place of the context tokens."""


def template_ids(clip: Any, slots: int, words: Sequence[str]) -> Tensor:
    """Return padded token ids of prompts with "X" in every slot, one row per ending."""
    return clip.text.tokenize([" ".join(["X"] * slots) + each for each in words])


def sentence_ids(clip: Any, sentences: Sequence[str]) -> Tensor:
    """Return padded token ids of VCP-CLIP's sentences with one slot before the end of text."""
    ids = clip.text.tokenize(sentences)
    end = clip.text.end_of_text(ids)[0]
    return torch.cat([ids[:, :end], torch.full_like(ids[:, :1], SLOT_ID), ids[:, end:-1]], dim=1)


def padded(prompts: Tensor, clip: Any) -> Tensor:
    """Pad prompts to the context length as a tokenizer does."""
    rest = clip.text.embed(clip.text.tokenize([""]))[0, prompts.shape[-2] :]
    return torch.cat([prompts, rest.expand(*prompts.shape[:-2], -1, -1)], dim=-2)
