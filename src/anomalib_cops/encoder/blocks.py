"""One frozen transformer block of open_clip, as functions of its parameters.

open_clip's blocks are walked, not called: the call took three forms between 2.24 and 3.x, and the consistency
self-attention of the local path needs the value projection that a call hides. The parameter names never changed.

Published weights are mostly in half precision, and so they stay in memory: a matrix is widened while it is used, which
is exact and costs a fortieth of its product with an image.
"""

from typing import Any, TypeAlias

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

# A module of open_clip; typed as nn.Module, each of its attributes would be "Tensor or Module".
OpenClipModule: TypeAlias = Any


def project_qkv(
    block: OpenClipModule, x: Float[Tensor, "batch tokens width"]
) -> tuple[
    Float[Tensor, "batch heads tokens head_dim"],
    Float[Tensor, "batch heads tokens head_dim"],
    Float[Tensor, "batch heads tokens head_dim"],
]:
    """Queries, keys and values of the normalised tokens, split into heads, from one matrix product."""
    batch, tokens, width = x.shape
    heads = block.attn.num_heads
    qkv = _linear(block.ln_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias)
    query, key, value = qkv.view(batch, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    return query, key, value


def attend(
    block: OpenClipModule,
    query: Float[Tensor, "batch heads queries head_dim"],
    key: Float[Tensor, "batch heads tokens head_dim"],
    value: Float[Tensor, "batch heads tokens head_dim"],
    *,
    causal: bool = False,
    visible: Bool[Tensor, "*#batch queries tokens"] | None = None,
) -> Float[Tensor, "batch queries width"]:
    """Scaled dot-product attention followed by the block's output projection.

    ``attend(block, v, v, v)`` is the consistency (v-v) self-attention of CoPS.

    Args:
        block: whose projection is used.
        query: of the tokens that look.
        key: of the tokens that are looked at.
        value: of the tokens that are looked at.
        causal: queries and tokens are the same, and each sees itself and those before it.
        visible: which tokens each query sees, if not all; with axes for batch and heads if it is not the same for all.
    """
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=visible, is_causal=causal)
    out = block.attn.out_proj
    return block.ls_1(_linear(mixed.transpose(1, 2).flatten(2), out.weight, out.bias))


def feed_forward(block: OpenClipModule, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
    """The block's second half: normalise, expand, contract, add."""
    expand, contract = block.mlp.c_fc, block.mlp.c_proj
    hidden = block.mlp.gelu(_linear(block.ln_2(x), expand.weight, expand.bias))
    return x + block.ls_2(_linear(hidden, contract.weight, contract.bias))


def widen(model: OpenClipModule) -> OpenClipModule:
    """Make weights float32, in place, save for the matrices of blocks and the token table in half precision."""
    towers = (*model.visual.transformer.resblocks, *model.transformer.resblocks)
    large = {model.token_embedding.weight, *(p for block in towers for p in block.parameters() if p.ndim == 2)}
    for value in (*model.parameters(), *model.buffers()):
        if value not in large or value.dtype.itemsize != 2:
            value.data = value.data.float()
    return model


def _linear(
    x: Float[Tensor, "batch tokens width"], weight: Float[Tensor, "out width"], bias: Float[Tensor, " out"]
) -> Float[Tensor, "batch tokens out"]:
    return F.linear(x, weight.to(x.dtype), bias)
