"""What the image tower needs of a Vision Transformer, and how open_clip's own gives it."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from anomalib_cops.encoder.blocks import Block, ForeignModule
from anomalib_cops.encoder.open_clip_block import OpenClipBlock


@runtime_checkable
class Trunk(Protocol):
    """A frozen Vision Transformer at one image size.

    Attributes:
        blocks: its blocks in order.
        prefix: number of tokens before the patches: class token and registers, or none.
        width: size of a token.
        dim: size of the joint space of images and texts.
        reads_class_token: whether the image feature is read from the first token alone, so that after the last block
            no other token is needed for it.
    """

    @property
    def blocks(self) -> list[Block]: ...  # noqa: D102 (see the class)

    @property
    def prefix(self) -> int: ...  # noqa: D102

    @property
    def width(self) -> int: ...  # noqa: D102

    @property
    def dim(self) -> int: ...  # noqa: D102

    @property
    def reads_class_token(self) -> bool: ...  # noqa: D102

    def embed(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch tokens width_"]:
        """Return the tokens that enter the first block: prefix and patches with their positions, normalised."""

    def pool(self, tokens: Float[Tensor, "batch tokens width_"]) -> Float[Tensor, "batch width_"]:
        """Return one vector for the whole image, from the tokens that leave the last block.

        It is the class token, the mean of the patches, or what an attention pool reads from all normalised tokens.
        """

    def project_pooled(
        self, pooled: Float[Tensor, "batch width_"], *, normalize: bool = True
    ) -> Float[Tensor, "batch dim"]:
        """Map pooled vectors into the joint space.

        Args:
            pooled: result of :meth:`pool`.
            normalize: apply the layer norm between pooling and projection, if the tower has one there.
        """

    def project(self, tokens: Float[Tensor, "*shape width_"]) -> Float[Tensor, "*shape dim"]:
        """Map tokens that leave the last block into the joint space.

        Each becomes the image feature of an image in which the tower pools from this token alone.
        """


@dataclass(frozen=True)
class OpenClipTrunk:
    """The methods of :class:`Trunk` for open_clip's ``VisionTransformer``.

    Attributes:
        visual: open_clip's module.
        positions: its position table, fitted to the image size.
        rotation: None, as it has no rotary positions.
    """

    visual: ForeignModule
    positions: Float[Tensor, "positions width_"] | None
    rotation: Tensor | None = None

    @staticmethod
    def patch_size_of(visual: ForeignModule) -> int:
        """Return the side of a patch in pixels."""
        return int(visual.conv1.kernel_size[0])

    @staticmethod
    def position_table_of(visual: ForeignModule) -> tuple[Float[Tensor, "positions width_"], int]:
        """Return the position table at the native size, and how many of its rows precede those of the patches."""
        return visual.positional_embedding, 1

    @staticmethod
    def rotation_of(visual: ForeignModule, grid: int) -> None:
        """Return the rotary positions of the patches, which this tower does not have."""

    @property
    def blocks(self) -> list[Block]:
        """Blocks in order."""
        return [OpenClipBlock(block) for block in self.visual.transformer.resblocks]

    @property
    def prefix(self) -> int:
        """One, the class token."""
        return 1

    @property
    def width(self) -> int:
        """Size of a token."""
        return self.visual.proj.shape[0]

    @property
    def dim(self) -> int:
        """Size of the joint space."""
        return self.visual.proj.shape[1]

    @property
    def reads_class_token(self) -> bool:
        """Whether the image feature is read from the class token, not from the mean of the patches."""
        return getattr(self.visual, "pool_type", "tok") == "tok"

    def embed(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch tokens width_"]:
        """Return the tokens that enter the first block."""
        patches = self.visual.conv1(images).flatten(2).transpose(1, 2)
        cls = self.visual.class_embedding.expand(images.shape[0], 1, -1)
        assert self.positions is not None  # open_clip's towers all have a table
        return self.visual.ln_pre(torch.cat([cls, patches], dim=1) + self.positions)

    def pool(self, tokens: Float[Tensor, "batch tokens width_"]) -> Float[Tensor, "batch width_"]:
        """Return the class token, or the mean of the patches."""
        if self.reads_class_token:
            return tokens[:, 0]
        if not self.visual.final_ln_after_pool:
            tokens = self.visual.ln_post(tokens)
        return tokens[:, 1:].mean(dim=1)

    def project_pooled(
        self, pooled: Float[Tensor, "batch width_"], *, normalize: bool = True
    ) -> Float[Tensor, "batch dim"]:
        """Map pooled vectors into the joint space."""
        between = self.reads_class_token or self.visual.final_ln_after_pool
        if between and normalize:
            pooled = self.visual.ln_post(pooled)
        return pooled @ self.visual.proj

    def project(self, tokens: Float[Tensor, "*shape width_"]) -> Float[Tensor, "*shape dim"]:
        """Map tokens into the joint space: apply the last layer norm and the projection."""
        return self.visual.ln_post(tokens) @ self.visual.proj
