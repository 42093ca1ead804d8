"""Token embeddings → text features, reading one token of each prompt."""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from anomalib_cops.clip.blocks import OpenClipModule, attend, feed_forward, project_qkv

DeepPlacement = Callable[[Float[Tensor, "prompts tokens width"], int], Float[Tensor, "prompts tokens width"]]


def encode(
    text: OpenClipModule,
    embeddings: Float[Tensor, "prompts tokens width"],
    read_out: int | Sequence[int] | Int[Tensor, " prompts"],
    deep: DeepPlacement | None = None,
) -> Float[Tensor, "prompts dim"]:
    """Run the causal text tower and project the read-out token.

    Under the causal mask a token depends on earlier ones only, so whatever follows the last ``read_out`` is cut off
    before the first block: the result is the same and 60 of CLIP's 77 tokens are never computed.

    Args:
        text: open_clip's CLIP (the text tower's modules are its attributes).
        embeddings: token embeddings without positions.
        read_out: index of the end-of-text token, of all prompts or of each. A tensor is not looked into, so that the
            number of prompts may be unknown, as in a traced graph; nothing is cut off then.
        deep: called with the tokens and the 0-based block index at every block's input; returns what enters it.

    Returns:
        Features in the joint space, not normalised.
    """
    if not isinstance(read_out, Tensor):
        embeddings = embeddings[:, : 1 + (read_out if isinstance(read_out, int) else max(read_out))]
    *_, last = walk(text, embeddings, deep)
    if isinstance(read_out, int):
        return project(text, last[:, -1])
    return project(text, last[torch.arange(last.shape[0], device=last.device), torch.as_tensor(read_out)])


def project(text: OpenClipModule, tokens: Float[Tensor, "*prompts width"]) -> Float[Tensor, "*prompts dim"]:
    """Read-out tokens in the joint space: the last layer norm and the projection."""
    return text.ln_final(tokens) @ text.text_projection


def encode_variants(
    text: OpenClipModule,
    embeddings: Float[Tensor, "prompts variants tokens width"],
    shared: int,
    read_out: int,
    deep: DeepPlacement | None = None,
) -> Float[Tensor, "prompts variants dim"]:
    """As :func:`encode`, for prompts in variants that begin with the same tokens.

    The beginning does not see what follows, so it is computed once per prompt; the other tokens of every variant look
    back at its keys and values. The result is the same but for the order of sums.

    Args:
        text: open_clip's CLIP.
        embeddings: token embeddings without positions.
        shared: how many of the first tokens are the same in all variants of a prompt; deep prompts lie among them.
        read_out: index of the end-of-text token.
        deep: as for :func:`encode`.

    Returns:
        Features in the joint space, not normalised.
    """
    variants = embeddings.shape[1]
    x = embeddings[:, :, : read_out + 1] + text.positional_embedding[: read_out + 1]
    start, rest = x[:, 0, :shared], x[:, :, shared:].flatten(0, 1)
    length = read_out + 1 - shared
    visible = torch.ones(length, read_out + 1, dtype=torch.bool, device=x.device).tril(shared)
    for index, block in enumerate(text.transformer.resblocks):
        if deep is not None:
            start = deep(start, index)
        query, *seen = project_qkv(block, start)
        later_query, *later_seen = project_qkv(block, rest)
        key, value = (
            torch.cat([before.unsqueeze(1).expand(-1, variants, -1, -1, -1).flatten(0, 1), after], dim=2)
            for before, after in zip(seen, later_seen, strict=True)
        )
        start = feed_forward(block, start + attend(block, query, *seen, causal=True))
        rest = feed_forward(block, rest + attend(block, later_query, key, value, visible=visible))
    return project(text, rest[:, -1]).unflatten(0, (-1, variants))


def walk(
    text: OpenClipModule, embeddings: Float[Tensor, "prompts tokens width"], deep: DeepPlacement | None = None
) -> Iterator[Float[Tensor, "prompts tokens width"]]:
    """Yield the tokens after every block of the text tower; arguments as in :func:`encode`."""
    x = embeddings + text.positional_embedding[: embeddings.shape[1]]
    for index, block in enumerate(text.transformer.resblocks):
        if deep is not None:
            x = deep(x, index)
        query, key, value = project_qkv(block, x)
        x = feed_forward(block, x + attend(block, query, key, value, causal=True))
        yield x
