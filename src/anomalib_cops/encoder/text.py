"""The text tower: sentences or token embeddings → text features, read from the end-of-text token of each prompt."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import open_clip
import torch
from jaxtyping import Float, Int
from torch import Tensor

from anomalib_cops.encoder.blocks import OpenClipModule, attend, feed_forward, project_qkv
from anomalib_cops.errors import InputError

BlockInputHook: TypeAlias = Callable[
    [Float[Tensor, "prompts tokens width"], int], Float[Tensor, "prompts tokens width"]
]
"""Deep prompts: called with a block's input tokens and the block's index, returns the tokens that enter the block."""

PrefixCache: TypeAlias = Float[Tensor, "blocks 2 prefixes heads cached head_dim"]
"""Keys and values of the first tokens of prompts in every block: all that later tokens ever see of them."""


@dataclass(frozen=True)
class TextTower:
    """The methods of a frozen causal text tower.

    Under the causal mask a token depends on itself and earlier tokens only. This allows two savings, which change a
    feature by no more than the order of sums. Tokens after the end-of-text token are not computed; in short prompts
    these are 60 of CLIP's 77 tokens. And tokens that many prompts begin with are computed once: later tokens see
    nothing of them but their keys and values, the prefix cache.

    Attributes:
        model: open_clip's CLIP, which has the text tower's modules among its attributes.
        name: name of the backbone, for messages.
    """

    model: OpenClipModule
    name: str

    @property
    def context_length(self) -> int:
        """Largest number of tokens in a prompt."""
        return self.model.positional_embedding.shape[0]

    def tokenize(self, sentences: Sequence[str]) -> Int[Tensor, "sentences tokens"]:
        """Return the token ids of CLIP's tokenizer, padded with zeros to the context length.

        Raises:
            InputError: a sentence is too long for the text tower.
        """
        ids = open_clip.tokenize(list(sentences), self.context_length + 1)
        for sentence, surplus in zip(sentences, ids[:, -1].tolist(), strict=True):
            if surplus:
                raise InputError(
                    f"'{sentence[:40]}…' has more than the {self.context_length} tokens that the text encoder of "
                    f"'{self.name}' can read; use a shorter name for the product."
                )
        # A copy, as DistributedDataParallel cannot broadcast a view of another tensor.
        return ids[:, :-1].clone(memory_format=torch.contiguous_format)

    def end_of_text(self, token_ids: Int[Tensor, "sentences tokens"]) -> list[int]:
        """Return the position of the end-of-text token, which has the highest id, in every sentence."""
        positions: list[int] = token_ids.argmax(dim=-1).tolist()
        return positions

    def embed(self, token_ids: Int[Tensor, "prompts tokens"]) -> Float[Tensor, "prompts tokens width"]:
        """Return token embeddings without positions."""
        return self.model.token_embedding(token_ids).to(self.model.positional_embedding.dtype)

    def encode_sentences(self, sentences: Sequence[str]) -> Float[Tensor, "sentences dim"]:
        """Return the features of plain sentences, not normalised, as open_clip's own ``encode_text`` does."""
        ids = self.tokenize(sentences)
        return self.encode(self.embed(ids.to(self.model.positional_embedding.device)), self.end_of_text(ids))

    def encode(
        self,
        embeddings: Float[Tensor, "prompts tokens width"],
        read_out: int | Sequence[int] | Int[Tensor, " prompts"],
        deep: BlockInputHook | None = None,
        prefix: PrefixCache | None = None,
        first_block: int = 0,
    ) -> Float[Tensor, "prompts dim"]:
        """Return text features in the joint space, not normalised; arguments as for :meth:`read`."""
        return self.project(self.read(embeddings, read_out, deep, prefix, first_block))

    def read(
        self,
        embeddings: Float[Tensor, "prompts tokens width"],
        read_out: int | Sequence[int] | Int[Tensor, " prompts"],
        deep: BlockInputHook | None = None,
        prefix: PrefixCache | None = None,
        first_block: int = 0,
    ) -> Float[Tensor, "prompts width"]:
        """Return the read-out token of each prompt after the last block, neither normalised nor projected.

        Args:
            embeddings: token embeddings without positions.
            read_out: index of the end-of-text token among these tokens, one for all prompts or one for each. A tensor's
                values are not looked at, so that a traced graph can take any number of prompts; the tokens after the
                last read-out are computed then.
            deep: changes the tokens at every block's input.
            prefix: cache of the tokens before these; see :meth:`walk`.
            first_block: index of the block to start with; see :meth:`walk`.
        """
        if not isinstance(read_out, Tensor):
            embeddings = embeddings[:, : 1 + (read_out if isinstance(read_out, int) else max(read_out))]
        # Deep prompts may make prompts longer, but a common read-out token stays the last one.
        position = -1 if isinstance(read_out, int) else torch.as_tensor(read_out, device=embeddings.device)
        for tokens, _ in self.walk(embeddings, deep, prefix, first_block, position):
            last = tokens
        return last[:, 0]

    def project(self, tokens: Float[Tensor, "*prompts width"]) -> Float[Tensor, "*prompts dim"]:
        """Map read-out tokens into the joint space: apply the last layer norm and the projection."""
        return self.model.ln_final(tokens) @ self.model.text_projection

    def cache_prefix(
        self,
        embeddings: Float[Tensor, "prompts tokens width"],
        deep: BlockInputHook | None = None,
        prefix: PrefixCache | None = None,
        first_block: int = 0,
    ) -> Float[Tensor, "blocks 2 prompts heads longer head_dim"]:
        """Return the prefix cache of these tokens, which others will follow; arguments as for :meth:`walk`.

        The cache includes the tokens of ``prefix``, if one is given.
        """
        return torch.stack([torch.stack(seen) for _, seen in self.walk(embeddings, deep, prefix, first_block)])

    def run_first_block(
        self, embeddings: Float[Tensor, "prompts tokens width"]
    ) -> Float[Tensor, "prompts tokens width"]:
        """Return the tokens that leave the first block, fit to go on with at ``first_block=1``."""
        tokens, _ = next(self.walk(embeddings))
        return tokens

    def walk(
        self,
        embeddings: Float[Tensor, "prompts tokens width"],
        deep: BlockInputHook | None = None,
        prefix: PrefixCache | None = None,
        first_block: int = 0,
        read_out: int | Int[Tensor, " prompts"] | None = None,
    ) -> Iterator[tuple[Float[Tensor, "prompts _ width"], tuple[Tensor, Tensor]]]:
        """Run the blocks and yield the tokens after each, with all keys and values that they attended to.

        Args:
            embeddings: token embeddings without positions; or, for a later ``first_block``, the tokens that enter it.
            deep: changes the tokens at every block's input.
            prefix: cache of the tokens before these, from ``first_block`` on. With p prefixes and n prompts, the first
                n / p prompts continue the first prefix, the next n / p the second, and so on.
            first_block: index of the block to start with.
            read_out: index of the only token of each prompt that leaves the last block; all do if not given.
        """
        start = 0 if prefix is None else prefix.shape[-2]
        x = embeddings
        if first_block == 0:
            x = x + self.model.positional_embedding[start : start + embeddings.shape[1]]
        blocks = self.model.transformer.resblocks
        for index, block in enumerate(blocks[first_block:], start=first_block):
            if deep is not None:
                x = deep(x, index)
            query, key, value = project_qkv(block, x)
            if prefix is not None:
                variants = x.shape[0] // prefix.shape[2]
                past_key, past_value = prefix[index - first_block].repeat_interleave(variants, dim=1)
                key, value = torch.cat([past_key, key], dim=2), torch.cat([past_value, value], dim=2)
            visible = None
            if read_out is not None and index == len(blocks) - 1:
                x, query, visible = _select_read_out(read_out, x, query, start)
            elif prefix is not None:
                visible = torch.ones(x.shape[1], key.shape[2], dtype=torch.bool, device=x.device).tril(start)
            causal = visible is None and x.shape[1] == key.shape[2]
            x = feed_forward(block, x + attend(block, query, key, value, causal=causal, visible=visible))
            yield x, (key, value)


def _select_read_out(
    read_out: int | Int[Tensor, " prompts"],
    x: Float[Tensor, "prompts tokens width"],
    query: Float[Tensor, "prompts heads tokens head_dim"],
    start: int,
) -> tuple[Float[Tensor, "prompts 1 width"], Float[Tensor, "prompts heads 1 head_dim"], Tensor | None]:
    """Return the read-out token of each prompt, its query, and which tokens it sees; None for all of them.

    Args:
        read_out: index of the token, one for each prompt; or -1 for the last token, which sees all.
        x: tokens of all prompts.
        query: queries of all tokens.
        start: number of tokens in the prefix cache.
    """
    if isinstance(read_out, int):
        return x[:, read_out:], query[:, :, read_out:], None
    rows = torch.arange(x.shape[0], device=x.device)
    visible = torch.arange(start + x.shape[1], device=x.device) <= start + read_out.unsqueeze(1)
    return x[rows, read_out].unsqueeze(1), query[rows, :, read_out].unsqueeze(2), visible[:, None, None]
