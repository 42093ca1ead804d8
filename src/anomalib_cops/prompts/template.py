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

    @property
    def start(self) -> int:
        """Number of tokens before the first word."""

    def tokenize(self, sentences: Sequence[str]) -> Int[Tensor, "sentences tokens"]:
        """Return token ids, padded to the context length."""

    def end_of_text(self, token_ids: Int[Tensor, "sentences tokens"]) -> list[int]:
        """Return the position of the first token after the words of every sentence."""

    def read_out(self, end: int) -> int:
        """Return the position of the token that the text feature is read from, given the first one after the words."""

    def needed(self, read_out: int) -> int:
        """Return how many tokens of a prompt have to be run."""

    def embed(self, token_ids: Int[Tensor, "prompts tokens"]) -> Float[Tensor, "prompts tokens width"]:
        """Return token embeddings without positions."""


class PromptTemplate(nn.Module):
    """Start of text | slots | words | end of text | padding, with the frozen embeddings of all but the slots.

    Some tokenizers write no start of text, and others no end of it.

    Args:
        text: gives the tokenizer and the token embeddings.
        slots: number of tokens that are filled in later, such as learned ones.
        words: text that follows the slots.

    Attributes:
        read_out: index of the token that the text feature is read from.
        needed: number of tokens of a prompt that have to be run.

    Raises:
        InputError: the prompt is longer than the text tower's context.
    """

    def __init__(self, text: TokenEmbedding, slots: int, words: str = ".") -> None:
        super().__init__()
        ids = text.tokenize([words])
        end, start = text.end_of_text(ids)[0], text.start
        fixed = end + 1
        if slots + fixed > text.context_length:
            raise InputError(
                f"A prompt of {slots} learnable tokens does not fit the text encoder's {text.context_length} tokens; "
                f"lower context_tokens by {slots + fixed - text.context_length}."
            )
        embeddings = text.embed(ids)[0].detach()
        self.read_out = text.read_out(end + slots)
        self.needed = text.needed(self.read_out)
        self.register_buffer("prefix", embeddings[:start].clone(), persistent=False)
        self.register_buffer("suffix", embeddings[start : text.context_length - slots].clone(), persistent=False)
        self.prefix: Float[Tensor, "start width"]
        self.suffix: Float[Tensor, "rest width"]

    def forward(
        self, slots: Float[Tensor, "*prompts slots width"], *, padded: bool = False
    ) -> Float[Tensor, "*prompts tokens width"]:
        """Return the token embeddings of prompts with filled slots, as many as have to be run.

        Args:
            slots: embeddings of the tokens after the start of text.
            padded: continue up to the context length, as a tokenizer does.
        """
        suffix = self.suffix if padded else self.suffix[: self.needed - len(self.prefix) - slots.shape[-2]]
        shape = slots.shape[:-2]
        return torch.cat([self.prefix.expand(*shape, -1, -1), slots, suffix.expand(*shape, -1, -1)], dim=-2)
