"""One frozen transformer block of open_clip, as functions of its parameters.

The towers run these functions instead of calling open_clip's blocks, for two reasons: the call changed twice between
open_clip 2.24 and 3.x while the parameter names stayed the same, and the consistency self-attention of the local path
needs the value projection, which a call hides.

Published weights are mostly in half precision and are kept so in memory. A matrix is converted to the precision of the
tokens when it is used, which is exact and takes a fortieth of the time of its product with an image's tokens.
"""

from typing import Any, TypeAlias

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

# A module of open_clip. Typed as nn.Module, each of its attributes would be "Tensor or Module".
OpenClipModule: TypeAlias = Any


def project_qkv(
    block: OpenClipModule, x: Float[Tensor, "batch tokens width"]
) -> tuple[
    Float[Tensor, "batch heads tokens head_dim"],
    Float[Tensor, "batch heads tokens head_dim"],
    Float[Tensor, "batch heads tokens head_dim"],
]:
    """Normalise the tokens and return their queries, keys and values, split into heads, from one matrix product."""
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
    """Compute scaled dot-product attention and the block's output projection.

    ``attend(block, v, v, v)`` is the consistency (v-v) self-attention of CoPS.

    Args:
        block: the block whose output projection is used.
        query: queries of the tokens that attend.
        key: keys of the tokens that are attended to.
        value: values of the tokens that are attended to.
        causal: let each token see only itself and earlier tokens; queries and keys are of the same tokens then.
        visible: True where a query sees a token; all see all if not given. Axes for batch and heads may lead.
    """
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=visible, is_causal=causal)
    out = block.attn.out_proj
    return block.ls_1(_linear(mixed.transpose(1, 2).flatten(2), out.weight, out.bias))


def feed_forward(block: OpenClipModule, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
    """Run the block's second half, the residual MLP, and return the tokens that leave the block."""
    expand, contract = block.mlp.c_fc, block.mlp.c_proj
    hidden = block.mlp.gelu(_linear(block.ln_2(x), expand.weight, expand.bias))
    return x + block.ls_2(_linear(hidden, contract.weight, contract.bias))


def widen(model: OpenClipModule) -> OpenClipModule:
    """Convert weights to float32 in place, except half-precision matrices of blocks and the token table."""
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
