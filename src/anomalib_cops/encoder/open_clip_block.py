"""The transformer block of open_clip, which its image towers and all text towers are made of."""

from jaxtyping import Float
from torch import Tensor

from anomalib_cops.encoder.blocks import QKV, Block, linear


class OpenClipBlock(Block):
    """open_clip's ``ResidualAttentionBlock``."""

    def qkv(self, x: Float[Tensor, "batch tokens width"]) -> QKV:
        """Return queries, keys and values of the normalised tokens, from one matrix product."""
        attn = self.module.attn
        batch, tokens, width = x.shape
        qkv = linear(self.module.ln_1(x), attn.in_proj_weight, attn.in_proj_bias)
        query, key, value = qkv.view(batch, tokens, 3, attn.num_heads, width // attn.num_heads).permute(2, 0, 3, 1, 4)
        return query, key, value

    def leave_attention(self, mixed: Float[Tensor, "batch tokens channels"]) -> Float[Tensor, "batch tokens width"]:
        """Return what attention adds to the tokens: output projection and layer scale."""
        out = self.module.attn.out_proj
        return self.module.ls_1(linear(mixed, out.weight, out.bias))

    def feed_forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens that leave the block."""
        expand, contract = self.module.mlp.c_fc, self.module.mlp.c_proj
        hidden = self.module.mlp.gelu(linear(self.module.ln_2(x), expand.weight, expand.bias))
        return x + self.module.ls_2(linear(hidden, contract.weight, contract.bias))
