"""A sentence with slots for learned or computed tokens, tokenised once."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from anomalib_cops.errors import InputError


@runtime_checkable
class TokenEmbedding(Protocol):
    """The part of a text tower that a template needs."""

    @property
    def context_length(self) -> int:
        """Largest number of tokens in a prompt."""

    def tokenize(self, sentences: Sequence[str]) -> Int[Tensor, "sentences tokens"]:
        """Return token ids, padded to the context length."""

    def end_of_text(self, token_ids: Int[Tensor, "sentences tokens"]) -> list[int]:
        """Return the position of the end-of-text token in every sentence."""

    def embed(self, token_ids: Int[Tensor, "prompts tokens"]) -> Float[Tensor, "prompts tokens width"]:
        """Return token embeddings without positions."""


class PromptTemplate(nn.Module):
    """Start of text | slots | words | end of text | padding, with the frozen embeddings of all but the slots.

    Args:
        text: gives the tokenizer and the token embeddings.
        slots: number of tokens that are filled in later, such as learned ones.
        words: text that follows the slots.

    Attributes:
        read_out: index of the end-of-text token, at which the text feature is read.

    Raises:
        InputError: the prompt is longer than the text tower's context.
    """

    def __init__(self, text: TokenEmbedding, slots: int, words: str = ".") -> None:
        super().__init__()
        fixed = text.end_of_text(text.tokenize([words]))[0] + 1
        if slots + fixed > text.context_length:
            raise InputError(
                f"A prompt of {slots} learnable tokens does not fit the text encoder's {text.context_length} tokens; "
                f"use at most {text.context_length - fixed}."
            )
        ids = text.tokenize([" ".join(["X"] * slots) + words])
        embeddings = text.embed(ids).detach()
        self.read_out = text.end_of_text(ids)[0]
        self.register_buffer("prefix", embeddings[0, :1].clone(), persistent=False)
        self.register_buffer("suffix", embeddings[0, 1 + slots :].clone(), persistent=False)
        self.prefix: Float[Tensor, "1 width"]
        self.suffix: Float[Tensor, "rest width"]

    def forward(
        self, slots: Float[Tensor, "*prompts slots width"], *, padded: bool = False
    ) -> Float[Tensor, "*prompts tokens width"]:
        """Return the token embeddings of prompts with filled slots.

        Args:
            slots: embeddings of the tokens after the start of text.
            padded: continue after the end of text up to the context length, as a tokenizer does.
        """
        suffix = self.suffix if padded else self.suffix[: self.read_out - slots.shape[-2]]
        shape = slots.shape[:-2]
        return torch.cat([self.prefix.expand(*shape, -1, -1), slots, suffix.expand(*shape, -1, -1)], dim=-2)
