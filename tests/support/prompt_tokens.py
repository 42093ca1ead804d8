"""Token ids and padding as the official code has them, which ours leaves out as no result depends on them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

SLOT_ID = 49408
"""Behind the last word of CLIP's vocabulary; VCP-CLIP's code writes it where the context tokens come."""


def template_ids(clip: Any, slots: int, words: Sequence[str]) -> Tensor:
    """Token ids of prompts whose slots are written as "X", one row for each ending; padded."""
    return clip.text.tokenize([" ".join(["X"] * slots) + each for each in words])


def sentence_ids(clip: Any, sentences: Sequence[str]) -> Tensor:
    """Token ids of VCP-CLIP's sentences with one slot before the end of text; padded."""
    ids = clip.text.tokenize(sentences)
    end = clip.text.end_of_text(ids)[0]
    return torch.cat([ids[:, :end], torch.full_like(ids[:, :1], SLOT_ID), ids[:, end:-1]], dim=1)


def padded(prompts: Tensor, suffix: Tensor, context_length: int) -> Tensor:
    """Prompts up to the context length: what follows the end of text is the end of the frozen suffix."""
    rest = suffix[..., suffix.shape[-2] - (context_length - prompts.shape[-2]) :, :]
    return torch.cat([prompts, rest.expand(*prompts.shape[:-2], -1, -1)], dim=-2)
