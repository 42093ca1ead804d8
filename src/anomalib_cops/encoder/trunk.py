"""What the image tower needs of a Vision Transformer, and how open_clip's own gives it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from anomalib_cops.encoder.blocks import Block, ForeignModule
from anomalib_cops.encoder.open_clip_block import OpenClipBlock


@dataclass(frozen=True)
class Trunk(ABC):
    """A frozen Vision Transformer at one image size.

    Attributes:
        visual: open_clip's image tower.
        positions: its position table, fitted to the image size; None if it has rotary positions alone.
        rotation: sines and cosines of its rotary positions; None if it has none.
    """

    visual: ForeignModule
    positions: Float[Tensor, "positions width_"] | None
    rotation: Float[Tensor, "patches angles"] | None = None

    @staticmethod
    @abstractmethod
    def patch_size_of(visual: ForeignModule) -> int:
        """Return the side of a patch in pixels."""

    @staticmethod
    @abstractmethod
    def position_table_of(visual: ForeignModule) -> tuple[Float[Tensor, "positions width_"] | None, int]:
        """Return the position table at the native size, and how many of its rows precede those of the patches."""

    @staticmethod
    def rotation_of(visual: ForeignModule, grid: int) -> Float[Tensor, "patches angles"] | None:
        """Return the rotary positions of a grid of patches; None if the tower has none."""
        return None

    @property
    @abstractmethod
    def blocks(self) -> Sequence[Block]:
        """Blocks in order."""

    @property
    @abstractmethod
    def prefix(self) -> int:
        """Number of tokens before the patches: class token and registers, or none."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Size of a token."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Size of the joint space of images and texts."""

    @property
    @abstractmethod
    def reads_class_token(self) -> bool:
        """Whether the image feature is read from the first token alone; no other one leaves the last block for it."""

    @abstractmethod
    def embed(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch tokens width_"]:
        """Return the tokens that enter the first block: prefix and patches with their positions, normalised."""

    @abstractmethod
    def pool(self, tokens: Float[Tensor, "batch tokens width_"]) -> Float[Tensor, "batch width_"]:
        """Return one vector for the whole image, from the tokens that leave the last block.

        It is the class token, the mean of the patches, or what an attention pool reads from all normalised tokens.
        """

    @abstractmethod
    def project_pooled(
        self, pooled: Float[Tensor, "batch width_"], *, normalize: bool = True
    ) -> Float[Tensor, "batch dim"]:
        """Map pooled vectors into the joint space.

        Args:
            pooled: result of :meth:`pool`.
            normalize: apply the layer norm between pooling and projection, if the tower has one there.
        """

    @abstractmethod
    def project(self, tokens: Float[Tensor, "*shape width_"]) -> Float[Tensor, "*shape dim"]:
        """Map tokens that leave the last block into the joint space.

        Each becomes the image feature of an image in which the tower pools from this token alone.
        """


class OpenClipTrunk(Trunk):
    """open_clip's ``VisionTransformer``, which has a class token and no rotary positions."""

    @staticmethod
    def patch_size_of(visual: ForeignModule) -> int:
        """Return the side of a patch in pixels."""
        return int(visual.conv1.kernel_size[0])

    @staticmethod
    def position_table_of(visual: ForeignModule) -> tuple[Float[Tensor, "positions width_"], int]:
        """Return the position table at the native size, and how many of its rows precede those of the patches."""
        return visual.positional_embedding, 1

    @property
    def blocks(self) -> Sequence[Block]:
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
