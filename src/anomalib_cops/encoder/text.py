"""The text tower: sentences or token embeddings → text features, read from one token of each prompt."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from anomalib_cops.encoder.blocks import ForeignModule
from anomalib_cops.encoder.open_clip_block import OpenClipBlock
from anomalib_cops.encoder.tokenizer import Tokenizer

BlockInputHook: TypeAlias = Callable[
    [Float[Tensor, "prompts tokens width"], int], Float[Tensor, "prompts tokens width"]
]
"""Deep prompts: called with a block's input tokens and the block's index, returns the tokens that enter the block."""

PrefixCache: TypeAlias = Float[Tensor, "blocks 2 prefixes heads cached head_dim"]
"""Keys and values of the first tokens of prompts in every block: all that later tokens ever see of them."""


@dataclass(frozen=True)
class TextTower:
    """The methods of a frozen text tower of open_clip.

    In a causal tower a token depends on itself and earlier tokens only. This allows two savings, which change a feature
    by no more than the order of sums. Tokens after the read-out are not computed; in short prompts these are 60 of
    CLIP's 77 tokens. And tokens that many prompts begin with are computed once: later tokens see nothing of them but
    their keys and values, the prefix cache. In other towers every token sees all others and the padding, so whole
    prompts are run.

    Attributes:
        module: open_clip's CLIP or its ``text``, which has the text tower's modules among its attributes.
        tokenizer: its tokenizer.
    """

    module: ForeignModule
    tokenizer: Tokenizer

    @property
    def context_length(self) -> int:
        """Largest number of tokens in a prompt."""
        return self.tokenizer.context_length

    @property
    def causal(self) -> bool:
        """Whether a token sees earlier tokens alone."""
        return self.module.attn_mask is not None

    @property
    def start(self) -> int:
        """Number of tokens before the first word."""
        return self.tokenizer.start

    @property
    def blocks(self) -> list[OpenClipBlock]:
        """Blocks in order."""
        return [OpenClipBlock(block) for block in self.module.transformer.resblocks]

    def tokenize(self, sentences: Sequence[str]) -> Int[Tensor, "sentences tokens"]:
        """Return the token ids of the tower's tokenizer, padded to the context length.

        Raises:
            InputError: a sentence is too long for the text tower.
        """
        return self.tokenizer(sentences)

    def end_of_text(self, token_ids: Int[Tensor, "sentences tokens"]) -> list[int]:
        """Return the position of the first token after the words of every sentence."""
        return self.tokenizer.ends(token_ids)

    def read_out(self, end: int) -> int:
        """Return the position of the token that the text feature is read from, given the first one after the words."""
        pooling = pooling_of(self.module)
        return {"first": 0, "last": self.context_length - 1}.get(pooling, end)

    def needed(self, read_out: int) -> int:
        """Return how many tokens of a prompt have to be run: up to the read-out in a causal tower, else all."""
        return read_out + 1 if self.causal else self.context_length

    def embed(self, token_ids: Int[Tensor, "prompts tokens"]) -> Float[Tensor, "prompts tokens width"]:
        """Return token embeddings without positions."""
        return self.module.token_embedding(token_ids).to(self.module.positional_embedding.dtype)

    def encode_sentences(self, sentences: Sequence[str]) -> Float[Tensor, "sentences dim"]:
        """Return the features of plain sentences, not normalised, as open_clip's own ``encode_text`` does."""
        ids = self.tokenize(sentences)
        embeddings = self.embed(ids.to(self.module.positional_embedding.device))
        return self.encode(embeddings, [self.read_out(end) for end in self.end_of_text(ids)])

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
            read_out: index of the read-out among these tokens, one for all prompts or one for each. A tensor's values
                are not looked at, so that a traced graph can take any number of prompts; the tokens after the last
                read-out are computed then.
            deep: changes the tokens at every block's input.
            prefix: cache of the tokens before these; see :meth:`walk`.
            first_block: index of the block to start with; see :meth:`walk`.
        """
        if self.causal and not isinstance(read_out, Tensor):
            embeddings = embeddings[:, : 1 + (read_out if isinstance(read_out, int) else max(read_out))]
        # Deep prompts may make prompts longer, so count the read-out from the end.
        if not isinstance(read_out, int):
            read_out = torch.as_tensor(read_out, device=embeddings.device)
        position = read_out - embeddings.shape[1]
        for tokens, _ in self.walk(embeddings, deep, prefix, first_block, position):
            last = tokens
        return last[:, 0]

    def project(self, tokens: Float[Tensor, "*prompts width"]) -> Float[Tensor, "*prompts dim"]:
        """Map read-out tokens into the joint space: apply the last layer norm and the projection."""
        tokens, projection = self.module.ln_final(tokens), self.module.text_projection
        if projection is None:
            return tokens
        return projection(tokens) if isinstance(projection, nn.Linear) else tokens @ projection

    def cache_prefix(
        self,
        embeddings: Float[Tensor, "prompts tokens width"],
        deep: BlockInputHook | None = None,
        prefix: PrefixCache | None = None,
        first_block: int = 0,
    ) -> Float[Tensor, "blocks 2 prompts heads longer head_dim"]:
        """Return the prefix cache of these tokens, which others will follow; arguments as for :meth:`walk`.

        Only a causal tower has one. The cache includes the tokens of ``prefix``, if one is given.
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
            read_out: negative index, counted from the end, of the only token of each prompt that leaves the last block;
                all do if not given.
        """
        start = 0 if prefix is None else prefix.shape[-2]
        x = embeddings
        if first_block == 0:
            x = x + self.module.positional_embedding[start : start + embeddings.shape[1]]
        blocks = self.blocks
        # Gradients of blocks taken apart are joined once; those of an index fill and add up the whole cache every time.
        caches = prefix.unbind() if prefix is not None and prefix.requires_grad else prefix
        for index, block in enumerate(blocks[first_block:], start=first_block):
            if deep is not None:
                x = deep(x, index)
            query, key, value = block.qkv(x)
            if prefix is not None and caches is not None:
                variants = x.shape[0] // prefix.shape[2]
                past_key, past_value = caches[index - first_block].repeat_interleave(variants, dim=1)
                key, value = torch.cat([past_key, key], dim=2), torch.cat([past_value, value], dim=2)
            visible = None
            if read_out is not None and index == len(blocks) - 1:
                x, query, visible = _select_read_out(read_out, x, query, start)
                visible = visible if self.causal else None
            elif prefix is not None:
                visible = torch.ones(x.shape[1], key.shape[2], dtype=torch.bool, device=x.device).tril(start)
            causal = self.causal and visible is None and x.shape[1] == key.shape[2]
            x = block.feed_forward(x + block.attend(query, key, value, causal=causal, visible=visible))
            yield x, (key, value)


def _select_read_out(
    read_out: int | Int[Tensor, " prompts"],
    x: Float[Tensor, "prompts tokens width"],
    query: Float[Tensor, "prompts heads tokens head_dim"],
    start: int,
) -> tuple[Float[Tensor, "prompts 1 width"], Float[Tensor, "prompts heads 1 head_dim"], Tensor | None]:
    """Return the read-out token of each prompt, its query, and which tokens it sees; None for all of them.

    Args:
        read_out: negative index of the token, counted from the end, for each prompt or for all. In the latter case it
            is the last token, which sees all others, or the tower is not causal.
        x: tokens of all prompts.
        query: queries of all tokens.
        start: number of tokens in the prefix cache.
    """
    if isinstance(read_out, int):
        only = slice(read_out, read_out + 1 or None)
        return x[:, only], query[:, :, only], None
    rows, read_out = torch.arange(x.shape[0], device=x.device), read_out + x.shape[1]
    visible = torch.arange(start + x.shape[1], device=x.device) <= start + read_out.unsqueeze(1)
    return x[rows, read_out].unsqueeze(1), query[rows, :, read_out].unsqueeze(2), visible[:, None, None]


def pooling_of(module: ForeignModule) -> str:
    """Return open_clip's name for the token that a text tower reads: argmax and eos are the end of the text."""
    return str(getattr(module, "pool_type", None) or getattr(module, "text_pool_type", "argmax"))


def text_module(model: ForeignModule) -> ForeignModule:
    """Return the module that holds the text tower: ``model.text``, or the model itself where it has no such attribute.

    It is None for an image tower without a text tower.
    """
    return getattr(model, "text", model)
