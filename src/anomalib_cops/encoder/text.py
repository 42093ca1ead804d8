"""Token embeddings → text features, reading one token of each prompt."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from anomalib_cops.encoder.blocks import OpenClipModule, attend, feed_forward, project_qkv

DeepPlacement = Callable[[Float[Tensor, "prompts tokens width"], int], Float[Tensor, "prompts tokens width"]]

Beginning: TypeAlias = Float[Tensor, "blocks 2 beginnings heads before head_dim"]
"""Keys and values of the first tokens of prompts in every block: all that later tokens ever see of them."""


def encode(
    text: OpenClipModule,
    embeddings: Float[Tensor, "prompts tokens width"],
    read_out: int | Sequence[int] | Int[Tensor, " prompts"],
    deep: DeepPlacement | None = None,
    after: Beginning | None = None,
    first: int = 0,
) -> Float[Tensor, "prompts dim"]:
    """Run the causal text tower and project the read-out token; arguments as for :func:`read`.

    Returns:
        Features in the joint space, not normalised.
    """
    return project(text, read(text, embeddings, read_out, deep, after, first))


def read(
    text: OpenClipModule,
    embeddings: Float[Tensor, "prompts tokens width"],
    read_out: int | Sequence[int] | Int[Tensor, " prompts"],
    deep: DeepPlacement | None = None,
    after: Beginning | None = None,
    first: int = 0,
) -> Float[Tensor, "prompts width"]:
    """Read-out token of each prompt after the last text block, neither normalised nor projected.

    Under the causal mask a token depends on earlier ones only, so whatever follows the last ``read_out`` is cut off
    before the first block: the result is the same and 60 of CLIP's 77 tokens are never computed. In the last block
    only the read-out token is.

    Args:
        text: open_clip's CLIP (the text tower's modules are its attributes).
        embeddings: token embeddings without positions.
        read_out: index of the end-of-text token among these tokens, of all prompts or of each. A tensor is not looked
            into, so that the number of prompts may be unknown, as in a traced graph; nothing is cut off then.
        deep: called with the tokens and the 0-based block index at every block's input; returns what enters it.
        after: what stands before these tokens; see :func:`walk`.
        first: see :func:`walk`.
    """
    if not isinstance(read_out, Tensor):
        embeddings = embeddings[:, : 1 + (read_out if isinstance(read_out, int) else max(read_out))]
    # Deep prompts may make prompts longer, but an only read-out token stays the last one.
    position = -1 if isinstance(read_out, int) else torch.as_tensor(read_out, device=embeddings.device)
    *_, (last, _) = walk(text, embeddings, deep, after, first, position)
    return last[:, 0]


def begin(
    text: OpenClipModule,
    embeddings: Float[Tensor, "prompts tokens width"],
    deep: DeepPlacement | None = None,
    after: Beginning | None = None,
    first: int = 0,
) -> Float[Tensor, "blocks 2 prompts heads longer head_dim"]:
    """Run tokens that others will follow; arguments as for :func:`walk`.

    What many prompts begin with is computed once, and what never changes once per weights. The features are the same
    but for the order of sums.
    """
    return torch.stack([torch.stack(seen) for _, seen in walk(text, embeddings, deep, after, first)])


def project(text: OpenClipModule, tokens: Float[Tensor, "*prompts width"]) -> Float[Tensor, "*prompts dim"]:
    """Read-out tokens in the joint space: the last layer norm and the projection."""
    return text.ln_final(tokens) @ text.text_projection


def walk(
    text: OpenClipModule,
    embeddings: Float[Tensor, "prompts tokens width"],
    deep: DeepPlacement | None = None,
    after: Beginning | None = None,
    first: int = 0,
    read_out: int | Int[Tensor, " prompts"] | None = None,
) -> Iterator[tuple[Float[Tensor, "prompts _ width"], tuple[Tensor, Tensor]]]:
    """Yield the tokens after every block of the text tower, with all keys and values that they looked at.

    Args:
        text: open_clip's CLIP.
        embeddings: token embeddings without positions; or the tokens that leave the block before ``first``.
        deep: as for :func:`read`.
        after: what stands before these tokens, from block ``first`` on. Of the prompts equally many follow each of its
            beginnings, one beginning's after the other's.
        first: 0-based index of the block to start with.
        read_out: token of each prompt that alone leaves the last block; all do if not given.
    """
    start = 0 if after is None else after.shape[-2]
    x = embeddings
    if first == 0:
        x = x + text.positional_embedding[start : start + embeddings.shape[1]]
    blocks = text.transformer.resblocks
    for index, block in enumerate(blocks[first:], start=first):
        if deep is not None:
            x = deep(x, index)
        query, key, value = project_qkv(block, x)
        if after is not None:
            variants = x.shape[0] // after.shape[2]
            past_key, past_value = after[index - first].repeat_interleave(variants, dim=1)
            key, value = torch.cat([past_key, key], dim=2), torch.cat([past_value, value], dim=2)
        visible = None
        if read_out is not None and index == len(blocks) - 1:
            x, query, visible = _only(read_out, x, query, start)
        elif after is not None:
            visible = torch.ones(x.shape[1], key.shape[2], dtype=torch.bool, device=x.device).tril(start)
        causal = visible is None and x.shape[1] == key.shape[2]
        x = feed_forward(block, x + attend(block, query, key, value, causal=causal, visible=visible))
        yield x, (key, value)


def _only(
    read_out: int | Int[Tensor, " prompts"],
    x: Float[Tensor, "prompts tokens width"],
    query: Float[Tensor, "prompts heads tokens head_dim"],
    start: int,
) -> tuple[Float[Tensor, "prompts 1 width"], Float[Tensor, "prompts heads 1 head_dim"], Tensor | None]:
    """The read-out token of each prompt, its query, and what it sees; the last token sees everything."""
    if isinstance(read_out, int):
        return x[:, read_out:], query[:, :, read_out:], None
    rows = torch.arange(x.shape[0], device=x.device)
    visible = torch.arange(start + x.shape[1], device=x.device) <= start + read_out.unsqueeze(1)
    return x[rows, read_out].unsqueeze(1), query[rows, :, read_out].unsqueeze(2), visible[:, None, None]
