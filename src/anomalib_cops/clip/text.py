"""Token embeddings → text features, reading one token of each prompt."""

from collections.abc import Callable, Iterator

from jaxtyping import Float, Int
from torch import Tensor

from anomalib_cops.clip.blocks import OpenClipModule, attend, feed_forward, project_qkv

DeepPlacement = Callable[[Float[Tensor, "prompts tokens width"], int], Float[Tensor, "prompts tokens width"]]


def encode(
    text: OpenClipModule,
    embeddings: Float[Tensor, "prompts tokens width"],
    read_out: int,
    deep: DeepPlacement | None = None,
) -> Float[Tensor, "prompts dim"]:
    """Run the causal text tower and project the read-out token.

    Under the causal mask a token depends on earlier ones only, so whatever follows ``read_out`` is cut off before
    the first block: the result is the same and 60 of CLIP's 77 tokens are never computed.

    Args:
        text: open_clip's CLIP (the text tower's modules are its attributes).
        embeddings: token embeddings without positions.
        read_out: index of the end-of-text token.
        deep: called with the tokens and the 0-based block index at every block's input; returns what enters it.

    Returns:
        Features in the joint space, not normalised.
    """
    *_, last = walk(text, embeddings[:, : read_out + 1], deep)
    return text.ln_final(last[:, read_out]) @ text.text_projection


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


def encode_sentences(
    text: OpenClipModule, token_ids: Int[Tensor, "sentences tokens"]
) -> Float[Tensor, "sentences dim"]:
    """Features of plain sentences, not normalised, as open_clip's own ``encode_text`` gives them.

    Args:
        text: open_clip's CLIP.
        token_ids: from the CLIP tokenizer; the highest id is the end of text.
    """
    embeddings = text.token_embedding(token_ids)
    ends = token_ids.argmax(dim=-1)
    features = embeddings.new_empty(len(token_ids), text.text_projection.shape[1])
    for end in ends.unique().tolist():
        rows = ends == end
        features[rows] = encode(text, embeddings[rows], end)
    return features
