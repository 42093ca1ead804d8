"""A sentence with slots, tokenised once."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from anomalib_cops.encoder import FrozenCLIP, end_of_text
from anomalib_cops.errors import InputError


class PromptTemplate(nn.Module):
    """Start of text | slots | words | end of text | padding, with the frozen embeddings of all but the slots.

    Args:
        clip: whose tokenizer and token embedding are used.
        slots: number of tokens that are filled in.
        words: what follows the slots.

    Attributes:
        read_out: index of the end-of-text token, where the text feature is read.

    Raises:
        InputError: the prompt is longer than the text tower's context.
    """

    def __init__(self, clip: FrozenCLIP, slots: int, words: str = ".") -> None:
        super().__init__()
        fixed = end_of_text(clip.tokenize([words]))[0] + 1
        if slots + fixed > clip.context_length:
            raise InputError(
                f"A prompt of {slots} learnable tokens does not fit the text encoder's {clip.context_length} tokens; "
                f"use at most {clip.context_length - fixed}."
            )
        ids = clip.tokenize([" ".join(["X"] * slots) + words])
        embeddings = clip.embed_tokens(ids).detach()
        self.read_out = end_of_text(ids)[0]
        self.register_buffer("token_ids", ids, persistent=False)
        self.register_buffer("prefix", embeddings[0, :1].clone(), persistent=False)
        self.register_buffer("suffix", embeddings[0, 1 + slots :].clone(), persistent=False)
        self.token_ids: Int[Tensor, "1 tokens"]
        self.prefix: Float[Tensor, "1 width"]
        self.suffix: Float[Tensor, "rest width"]

    def forward(
        self, slots: Float[Tensor, "*prompts slots width"], *, padded: bool = False
    ) -> Float[Tensor, "*prompts tokens width"]:
        """Token embeddings of prompts whose slots are filled.

        Args:
            slots: what stands after the start of text.
            padded: go on after the end of text up to the full context, as a tokenizer would.
        """
        suffix = self.suffix if padded else self.suffix[: self.read_out - slots.shape[-2]]
        shape = slots.shape[:-2]
        return torch.cat([self.prefix.expand(*shape, -1, -1), slots, suffix.expand(*shape, -1, -1)], dim=-2)
