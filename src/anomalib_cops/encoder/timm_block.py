"""The transformer blocks of timm: of its Vision Transformer, and those of EVA, Perception Encoder and DINOv3."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from timm.layers import GluMlp, SwiGLU, apply_rot_embed_cat
from torch import Tensor

from anomalib_cops.encoder.blocks import QKV, Block, ForeignModule, linear, split_heads


@dataclass(frozen=True)
class TimmBlock(Block):
    """timm's blocks that normalise their input, ``Block`` and ``EvaBlock``.

    Queries, keys and values come from one matrix or from three. Queries and keys may be normalised per head, and turned
    by rotary positions; values never are, so that v-v attention compares what patches show and not where they are.

    Attributes:
        rotation: sines and cosines of the patches' rotary positions; None if the tower has none.
        prefix: number of tokens before the patches, which have no rotary position. Tokens after the patches, such as
            prompts, have none either.
    """

    rotation: Float[Tensor, "patches angles"] | None = None
    prefix: int = 0

    def qkv(self, x: Float[Tensor, "batch tokens width"]) -> QKV:
        """Return queries, keys and values of the tokens, with the norms and positions of queries and keys."""
        attn, x = self.module.attn, self._enter_attention(x)
        if attn.qkv is None:
            parts = [linear(x, each.weight, each.bias) for each in (attn.q_proj, attn.k_proj, attn.v_proj)]
        else:
            parts = list(linear(x, attn.qkv.weight, _fused_bias(attn)).chunk(3, dim=-1))
        query, key, value = (split_heads(part, attn.num_heads) for part in parts)
        query, key = attn.q_norm(query), attn.k_norm(key)
        return self._rotate(query), self._rotate(key), value

    def leave_attention(self, mixed: Float[Tensor, "batch tokens channels"]) -> Float[Tensor, "batch tokens width"]:
        """Return what attention adds to the tokens: inner norm, output projection and layer scale."""
        return _scaled(self.module, 1, self._project(mixed))

    def feed_forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens that leave the block."""
        return x + _scaled(self.module, 2, run_mlp(self.module.mlp, self.module.norm2(x)))

    def _enter_attention(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        return self.module.norm1(x)

    def _project(self, mixed: Float[Tensor, "batch tokens channels"]) -> Float[Tensor, "batch tokens width"]:
        attn = self.module.attn
        return linear(attn.norm(mixed), attn.proj.weight, attn.proj.bias)

    def _rotate(self, x: Float[Tensor, "batch heads tokens head_dim"]) -> Float[Tensor, "batch heads tokens head_dim"]:
        if self.rotation is None:
            return x
        end = self.prefix + self.rotation.shape[0]
        half = getattr(self.module.attn, "rotate_half", False)
        turned = apply_rot_embed_cat(x[:, :, self.prefix : end], self.rotation, half=half).to(x.dtype)
        return torch.cat([x[:, :, : self.prefix], turned, x[:, :, end:]], dim=2)


@dataclass(frozen=True)
class TimmPostNormBlock(TimmBlock):
    """The same for timm's ``EvaBlockPostNorm``, which normalises what attention and MLP add to the tokens."""

    def leave_attention(self, mixed: Float[Tensor, "batch tokens channels"]) -> Float[Tensor, "batch tokens width"]:
        """Return what attention adds to the tokens, normalised."""
        return self.module.norm1(self._project(mixed))

    def feed_forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens that leave the block."""
        return x + self.module.norm2(run_mlp(self.module.mlp, x))

    def _enter_attention(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        return x


def run_mlp(mlp: ForeignModule, x: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape width"]:
    """Run timm's ``Mlp``, ``GluMlp`` or ``SwiGLU``, whose matrices may be kept in half precision."""
    if isinstance(mlp, SwiGLU):
        gate = linear(x, mlp.fc1_g.weight, mlp.fc1_g.bias)
        hidden = mlp.act(gate) * linear(x, mlp.fc1_x.weight, mlp.fc1_x.bias)
    else:
        hidden = linear(x, mlp.fc1.weight, mlp.fc1.bias)
        if isinstance(mlp, GluMlp):
            first, second = hidden.chunk(2, dim=-1)
            hidden = first * mlp.act(second) if mlp.gate_last else mlp.act(first) * second
        else:
            hidden = mlp.act(hidden)
    return linear(mlp.norm(hidden), mlp.fc2.weight, mlp.fc2.bias)


def _fused_bias(attn: ForeignModule) -> Float[Tensor, " channels"] | None:
    """Return the bias of queries, keys and values; EVA stores those of queries and values alone."""
    if getattr(attn, "q_bias", None) is None:
        return attn.qkv.bias
    return torch.cat([attn.q_bias, attn.k_bias, attn.v_bias])


def _scaled(block: ForeignModule, half: int, x: Float[Tensor, "batch tokens width"]) -> Tensor:
    """Apply the layer scale of a half of a block, a module in ``Block`` and a vector or nothing in ``EvaBlock``."""
    if hasattr(block, f"ls{half}"):
        return getattr(block, f"ls{half}")(x)
    gamma = getattr(block, f"gamma_{half}")
    return x if gamma is None else gamma * x
