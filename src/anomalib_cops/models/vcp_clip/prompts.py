"""Build the input of VCP-CLIP's text tower: two sentences with context tokens, and deep prompts."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.errors import InputError

SENTENCES = ("a photo of a good", "a photo of a damaged")
"""Sentences of the normal and the anomalous state; visual context tokens follow in place of the product's name."""


class StateSentences(nn.Module):
    """Embed start of text | "a photo of a good" or "… damaged" | context tokens | end of text.

    Args:
        clip: the frozen encoder, whose tokenizer and token embedding are used.
        slots: number of context tokens.

    Attributes:
        ends: index of the first token after the words and the context tokens of each sentence.
        read_outs: index of the token that the text feature of each sentence is read from.
    """

    def __init__(self, clip: FrozenCLIP, slots: int) -> None:
        super().__init__()
        ids = clip.text.tokenize(SENTENCES)
        words = clip.text.end_of_text(ids)
        self.ends = [end + slots for end in words]
        self.read_outs = [clip.text.read_out(end) for end in self.ends]
        needed = clip.text.needed(max(self.read_outs))
        states = zip(clip.text.embed(ids).detach(), words, strict=True)
        for state, (embeddings, end) in enumerate(states):
            self.register_buffer(f"prefix_{state}", embeddings[:end].clone(), persistent=False)
            self.register_buffer(f"suffix_{state}", embeddings[end : needed - slots].clone(), persistent=False)

    def forward(self, context: Float[Tensor, "batch slots width"]) -> Float[Tensor, "batch states tokens width"]:
        """Return the token embeddings of both sentences with each image's context tokens, as many as have to be run."""
        prompts = []
        for state in range(len(SENTENCES)):
            prefix, suffix = (getattr(self, f"{part}_{state}") for part in ("prefix", "suffix"))
            first, last = (each.expand(context.shape[0], -1, -1) for each in (prefix, suffix))
            prompts.append(torch.cat([first, context, last], dim=1))
        return torch.stack(prompts, dim=1)


class DeepPrompts(nn.Module):
    """Learnable tokens after the start of text, inserted before the first block and replaced before every later one.

    Inserted tokens get no position embedding, and the tokens behind them keep theirs. All blocks share one projection.
    A separate layer norm follows the last block.

    Args:
        depth: number of text blocks.
        length: number of tokens per block, n.
        width: size of a token embedding.
        dropout: dropout rate of the projected tokens in training, drawn anew for every prompt and block.
        start: number of tokens before the first word.
    """

    def __init__(self, depth: int, length: int, width: int, dropout: float, start: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.empty(length, width).uniform_(-1, 1))
        self.later = nn.Parameter(torch.empty(depth - 1, length, width).uniform_(-1, 1))
        self.project = nn.Linear(width, width)
        nn.init.kaiming_normal_(self.project.weight, mode="fan_out")
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.start = start

    @property
    def length(self) -> int:
        """Number of tokens per block."""
        return self.first.shape[0]

    def forward(self, x: Float[Tensor, "prompts tokens width"], block: int) -> Float[Tensor, "prompts longer width"]:
        """Return the tokens that enter a block; at the first block the sequence grows by the inserted tokens."""
        tokens = self.project(self.later[block - 1] if block else self.first)
        # Apply dropout after the expansion, so that every prompt has its own mask.
        tokens = self.dropout(tokens.expand(x.shape[0], -1, -1))
        rest = x[:, self.start + self.length :] if block else x[:, self.start :]
        return torch.cat([x[:, : self.start], tokens.to(x.dtype), rest], dim=1)


def check_length(clip: FrozenCLIP, sentences: StateSentences, deep_length: int) -> None:
    """Refuse prompts that are longer than the text tower's context.

    Raises:
        InputError: the prompts are too long; the message says by how many tokens.
    """
    surplus = max(sentences.ends) + 1 + deep_length - clip.text.context_length
    if surplus > 0:
        raise InputError(
            f"VCPCLIP: context_tokens and deep_length are {surplus} more than fit the text encoder's "
            f"{clip.text.context_length} tokens; use fewer."
        )
