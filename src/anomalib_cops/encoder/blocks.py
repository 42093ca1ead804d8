"""One frozen transformer block, as three functions of its parameters, whatever library it comes from.

The towers run these functions instead of calling the blocks of open_clip and timm, for two reasons: a call changes with
their releases while the names of parameters stay, and the consistency self-attention of the local path needs the value
projection, which a call hides.

Published weights are mostly in half precision and are kept so in memory. A matrix is converted to the precision of the
tokens when it is used, which is exact and takes a fortieth of the time of its product with an image's tokens.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, TypeAlias

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

ForeignModule: TypeAlias = Any
"""A module of open_clip or timm. Typed as nn.Module, each of its attributes would be "Tensor or Module"."""
QKV: TypeAlias = tuple[
    Float[Tensor, "batch heads tokens head_dim"],
    Float[Tensor, "batch heads tokens head_dim"],
    Float[Tensor, "batch heads tokens head_dim"],
]
"""Queries, keys and values of tokens."""


@dataclass(frozen=True)
class Block(ABC):
    """A residual transformer block: ``feed_forward(x + attend(*qkv(x)))``.

    Attributes:
        module: the block of open_clip or timm.
    """

    module: ForeignModule

    @abstractmethod
    def qkv(self, x: Float[Tensor, "batch tokens width"]) -> QKV:
        """Return the tokens' queries, keys and values, split into heads, with all that precedes their comparison."""

    @abstractmethod
    def leave_attention(self, mixed: Float[Tensor, "batch tokens channels"]) -> Float[Tensor, "batch tokens width"]:
        """Return what attention adds to the tokens, from the values that it has mixed, with the heads side by side."""

    @abstractmethod
    def feed_forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Run the block's second half, the residual MLP, and return the tokens that leave the block."""

    def attend(
        self,
        query: Float[Tensor, "batch heads queries head_dim"],
        key: Float[Tensor, "batch heads tokens head_dim"],
        value: Float[Tensor, "batch heads tokens head_dim"],
        *,
        causal: bool = False,
        visible: Bool[Tensor, "*#batch queries tokens"] | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        """Return what attention adds to the tokens: scaled dot-product attention and the block's output projection.

        ``attend(v, v, v)`` is the consistency (v-v) self-attention of CoPS.

        Args:
            query: queries of the tokens that attend.
            key: keys of the tokens that are attended to.
            value: values of the tokens that are attended to.
            causal: let each token see only itself and earlier tokens; queries and keys are of the same tokens then.
            visible: True where a query sees a token; all see all if not given. Axes for batch and heads may lead.
        """
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=visible, is_causal=causal)
        return self.leave_attention(mixed.transpose(1, 2).flatten(2))


def linear(
    x: Float[Tensor, "*shape width"], weight: Float[Tensor, "out width"], bias: Float[Tensor, " out"] | None
) -> Float[Tensor, "*shape out"]:
    """Multiply by a matrix that may be kept in half precision."""
    return F.linear(x, weight.to(x.dtype), bias)


def split_heads(x: Float[Tensor, "batch tokens width"], heads: int) -> Float[Tensor, "batch heads tokens head_dim"]:
    """Return the channels of each head."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)
