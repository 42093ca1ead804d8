"""How timm's Vision Transformers give what the image tower needs: those of SigLIP, EVA, PE, MobileCLIP and DINOv3."""

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Float
from timm.models.eva import EvaBlockPostNorm
from torch import Tensor

from anomalib_cops.encoder.blocks import Block, ForeignModule, linear
from anomalib_cops.encoder.timm_block import TimmBlock, TimmPostNormBlock, run_mlp
from anomalib_cops.encoder.trunk import Trunk


class TimmTrunk(Trunk):
    """timm's ``VisionTransformer`` and ``Eva``, which open_clip's ``TimmModel`` holds as ``trunk``."""

    @staticmethod
    def patch_size_of(visual: ForeignModule) -> int:
        """Return the side of a patch in pixels."""
        ratio = visual.trunk.patch_embed.feat_ratio()
        return int(max(ratio) if isinstance(ratio, tuple) else ratio)

    @staticmethod
    def position_table_of(visual: ForeignModule) -> tuple[Float[Tensor, "positions width_"] | None, int]:
        """Return the position table at the native size, and how many of its rows precede those of the patches."""
        trunk = visual.trunk
        table = None if trunk.pos_embed is None else trunk.pos_embed[0]
        return table, 0 if trunk.no_embed_class else trunk.num_prefix_tokens

    @staticmethod
    def rotation_of(visual: ForeignModule, grid: int) -> Float[Tensor, "patches angles"] | None:
        """Return timm's own rotary positions of a grid of patches; None if the tower has none."""
        if getattr(visual.trunk, "rope", None) is None:
            return None
        rope = copy.deepcopy(visual.trunk.rope)
        if rope.feat_shape is not None:
            rope.update_feat_shape([grid, grid])
        return rope.get_embed(shape=[grid, grid])

    @property
    def blocks(self) -> Sequence[Block]:
        """Blocks in order."""
        kinds = [TimmPostNormBlock if isinstance(b, EvaBlockPostNorm) else TimmBlock for b in self.visual.trunk.blocks]
        return [
            kind(block, self.rotation, self.prefix) for kind, block in zip(kinds, self.visual.trunk.blocks, strict=True)
        ]

    @property
    def prefix(self) -> int:
        """Number of tokens before the patches: class token and registers."""
        return self.visual.trunk.num_prefix_tokens

    @property
    def width(self) -> int:
        """Size of a token."""
        return self.visual.trunk.embed_dim

    @property
    def dim(self) -> int:
        """Size of the joint space."""
        last = getattr(self.visual.head, "proj", self.visual.trunk.head)
        return getattr(last, "out_features", self.width)

    @property
    def reads_class_token(self) -> bool:
        """Whether the image feature is read from the class token."""
        return self.visual.trunk.global_pool == "token"

    def embed(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch tokens width_"]:
        """Return the tokens that enter the first block."""
        trunk = self.visual.trunk
        # The call of patch_embed itself takes images of the native size alone.
        maps = trunk.patch_embed.backbone(images) if hasattr(trunk.patch_embed, "backbone") else images
        patches = trunk.patch_embed.proj(maps).flatten(2).transpose(1, 2)
        if hasattr(trunk.patch_embed, "norm"):
            patches = trunk.patch_embed.norm(patches)
        first = [getattr(trunk, name, None) for name in ("cls_token", "reg_token")]
        prefix = [token.expand(images.shape[0], -1, -1) for token in first if token is not None]
        if self.positions is not None and trunk.no_embed_class:
            patches = patches + self.positions
        tokens = torch.cat([*prefix, patches], dim=1)
        if self.positions is not None and not trunk.no_embed_class:
            tokens = tokens + self.positions
        return trunk.norm_pre(tokens)

    def pool(self, tokens: Float[Tensor, "batch tokens width_"]) -> Float[Tensor, "batch width_"]:
        """Return the class token as it is, or what timm pools from the normalised tokens."""
        if self.reads_class_token:
            return tokens[:, 0]
        return self.visual.trunk.pool(self.visual.trunk.norm(tokens))

    def project_pooled(
        self, pooled: Float[Tensor, "batch width_"], *, normalize: bool = True
    ) -> Float[Tensor, "batch dim"]:
        """Map pooled vectors into the joint space."""
        trunk = self.visual.trunk
        if normalize:
            pooled = trunk.fc_norm(trunk.norm(pooled) if self.reads_class_token else pooled)
        return self.visual.head(trunk.head(pooled))

    def project(self, tokens: Float[Tensor, "*shape width_"]) -> Float[Tensor, "*shape dim"]:
        """Map tokens into the joint space, through the values of the attention pool if there is one.

        Attention to a single token returns its value, whatever the query. So the value projection, the output
        projection and the MLP of the pool, applied to each token, give what the pool would return for it alone.
        """
        trunk = self.visual.trunk
        tokens = trunk.norm(tokens)
        pool = trunk.attn_pool
        if pool is not None:
            of_value, bias = pool.kv.weight.chunk(2)[1], pool.kv.bias
            value = linear(tokens, of_value, None if bias is None else bias.chunk(2)[1])
            tokens = pool.proj(value)
            tokens = tokens + run_mlp(pool.mlp, pool.norm(tokens))
        return self.visual.head(trunk.head(trunk.fc_norm(tokens)))
