"""The image tower: images → class and patch features, along the ordinary and the local path of a frozen ViT.

It is the same for all families of towers; :mod:`~anomalib_cops.encoder.trunk` says what they differ in.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from anomalib_cops.encoder.blocks import Block
from anomalib_cops.encoder.openvino_tower import OpenVINOTower
from anomalib_cops.encoder.trunk import Trunk
from anomalib_cops.errors import InputError
from anomalib_cops.precision import in_full_precision
from anomalib_cops.tracing import tracing


@dataclass(frozen=True)
class ImageFeatures:
    """Features of a batch of images in the joint space of images and texts, not normalised to unit length.

    Attributes:
        cls: one vector for the whole image.
        patches: one vector per patch, row by row, at every layer that was asked for.
        descriptors: what :meth:`ImageTower.describe` returns, if it was asked for.
    """

    cls: Float[Tensor, "batch dim"]
    patches: Float[Tensor, "layers batch patches dim"]
    descriptors: Float[Tensor, "batch patches width_"] | None = None


@dataclass(frozen=True)
class ImageTokens:
    """Tokens of a batch of images in the image tower's residual stream, neither normalised nor projected.

    Attributes:
        cls: what the tower pools from the ordinary path after the last block: in a CLIP the class token, in other
            families the mean of the patches or the result of an attention pool.
        patches: patch tokens, row by row, at every layer that was asked for.
        descriptors: what :meth:`ImageTower.describe` returns, if it was asked for.
    """

    cls: Float[Tensor, "batch width_"]
    patches: Float[Tensor, "layers batch patches width_"]
    descriptors: Float[Tensor, "batch patches width_"] | None = None


Paths: TypeAlias = tuple[Float[Tensor, "batch tokens width"], Float[Tensor, "batch tokens width"] | None]
"""Tokens of the ordinary and the local path that leave a block; None before the local path has begun."""
Walk: TypeAlias = Callable[[Iterable[Block], Float[Tensor, "batch tokens width"], range, int | None], Iterator[Paths]]
"""A way to run the frozen blocks, with the parameters of :func:`walk`, which adds nothing to them."""


def walk(
    blocks: Iterable[Block],
    x: Float[Tensor, "batch tokens width"],
    local_blocks: range = range(0),
    cls_block: int | None = None,
) -> Iterator[Paths]:
    """Run the blocks and yield the tokens of both paths after each.

    The local path (consistency self-attention, as in CoPS and AnomalyCLIP) starts from the ordinary path's tokens and
    adds, in each block of ``local_blocks``, v-v attention over the ordinary path's values. It has no feed-forward layer
    and never feeds back, so the ordinary path is the same with and without it.

    Args:
        blocks: the frozen blocks in order.
        x: tokens that enter the first block, class token first if there is one.
        local_blocks: indices of the blocks in which the local path runs.
        cls_block: index of the last block, if only the class token is needed of the ordinary path there; its other
            tokens are not computed then.

    Yields:
        Tokens of the ordinary path and of the local path, which are None before its first block.
    """
    ordinary, local = x, None
    for index, block in enumerate(blocks):
        query, key, value = block.qkv(ordinary)
        if index in local_blocks:
            local = (ordinary if local is None else local) + block.attend(value, value, value)
        if index == cls_block:
            ordinary, query = ordinary[:, :1], query[:, :, :1]
        ordinary = block.feed_forward(ordinary + block.attend(query, key, value))
        yield ordinary, local


PLAIN_WALK = walk
"""Runs the frozen blocks and nothing else."""


@dataclass(frozen=True)
class ImageTower:
    """The methods of a frozen image tower at one image size.

    Attributes:
        trunk: the Vision Transformer at that size.
        image_size: side of the square images in pixels.
        dtype: precision of its layer norms and biases, in which images enter it.
        graphs: run by OpenVINO what is asked of the frozen blocks alone; None to run everything by torch.
    """

    trunk: Trunk
    image_size: int
    dtype: torch.dtype = torch.float32
    graphs: OpenVINOTower | None = None

    def digest(self) -> str:
        """Return a digest of everything that features depend on: weights, positions at this size, and activation."""
        found = hashlib.sha256(repr(self.trunk.blocks[0].module.mlp).encode())
        tables = {"positions": self.trunk.positions, "rotation": self.trunk.rotation}
        for name, value in (*self.trunk.visual.state_dict().items(), *tables.items()):
            if value is not None:
                found.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
                found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return found.hexdigest()

    def embed(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch tokens width_"]:
        """Return the tokens that enter the first block.

        Raises:
            InputError: the images do not have the size that the encoder was made for.
        """
        side = self.image_size
        if images.shape[-2:] != (side, side):
            raise InputError(
                f"The encoder was made for {side}x{side} images and got {images.shape[-1]}x{images.shape[-2]}: "
                "keep the model's pre-processor, or resize the images before."
            )
        # The host hands over float32 images, even where it has cast the weights (precision="bf16-true").
        return self.trunk.embed(images.to(self.dtype))

    def tokens(
        self,
        images: Float[Tensor, "batch 3 height width"],
        *,
        layers: Sequence[int],
        local_start: int | None = None,
        describe: bool = False,
        walk: Walk = walk,
    ) -> ImageTokens:
        """Return what the tower pools after the last block, and patch tokens after some blocks.

        Args:
            images: normalised with the encoder's ``mean`` and ``std``.
            layers: 1-based numbers of the blocks after which patches are read, ascending; at least one.
            local_start: 1-based number of the block in which the local (v-v) path begins. Patches are read from that
                path from there on; if not given, all are read from the ordinary path.
            describe: also return descriptors of the patches.
            walk: runs the blocks, for methods that add something to them. Tokens that it adds follow those of the
                image.

        Raises:
            InputError: OpenVINO is to run the blocks, and ``walk`` adds something to them.
        """
        # What is traced becomes a graph itself.
        if self.graphs is not None and not tracing():
            if walk is not PLAIN_WALK:
                raise InputError("This model adds to the image tower, which OpenVINO cannot; leave runtime out.")
            return ImageTokens(*self.graphs.run(self, images, layers, local_start, describe))
        blocks, prefix = self.trunk.blocks, self.trunk.prefix
        depth = len(blocks)
        local_blocks = range(0) if local_start is None else range(local_start - 1, max(layers))
        # The last block's patches are often read from the local path alone, or not at all.
        only_cls = self.trunk.reads_class_token and (depth not in layers or depth - 1 in local_blocks)
        tapped, described = [], []
        x = self.embed(images)
        end = x.shape[1]
        for layer, (ordinary, local) in enumerate(walk(blocks, x, local_blocks, depth - 1 if only_cls else None), 1):
            x = ordinary
            if layer in layers:
                tokens = ordinary if local is None else local
                tapped.append(tokens[:, prefix:end])
            if describe and layer in description_layers(depth):
                described.append(ordinary[:, prefix:end])
        descriptors = descriptors_of(torch.stack(described)) if described else None
        return ImageTokens(self.trunk.pool(x[:, :end]), torch.stack(tapped), descriptors)

    def describe(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch patches width_"]:
        """Return a unit vector per patch by which patches of several images can be compared.

        It is the normalised sum of the patch's unit tokens on the ordinary path after the blocks of
        :func:`description_layers`.
        """
        described = self.tokens(images, layers=[1], describe=True).descriptors
        assert described is not None
        return described

    def encode(
        self,
        images: Float[Tensor, "batch 3 height width"],
        *,
        layers: Sequence[int],
        local_start: int | None = None,
        normalize_cls: bool = False,
        describe: bool = False,
        walk: Walk = walk,
    ) -> ImageFeatures:
        """Return the class feature of the ordinary path and patch features of either path.

        Args:
            images: as for :meth:`tokens`, like all other arguments but one.
            layers: 1-based numbers of the blocks after which patches are read, ascending.
            local_start: 1-based number of the block in which the local path begins, if patches are read from it.
            normalize_cls: apply the layer norm between pooling and projection, as CLIP does and CoPS does not.
            describe: also return descriptors of the patches.
            walk: runs the blocks.
        """
        tokens = self.tokens(images, layers=layers, local_start=local_start, describe=describe, walk=walk)
        cls = self.trunk.project_pooled(tokens.cls, normalize=normalize_cls)
        return ImageFeatures(cls, self.trunk.project(tokens.patches), tokens.descriptors)

    def project_cls(self, cls: Float[Tensor, "batch width_"]) -> Float[Tensor, "batch dim"]:
        """Map the ``cls`` of :class:`ImageTokens` into the joint space, as the tower does with a whole image."""
        return self.trunk.project_pooled(cls)


def description_layers(depth: int) -> tuple[int, ...]:
    """Return the blocks that describe patches, counted from 1: after each third of the tower.

    The last one is the block before the last, because the last block's patches often need not be computed.
    """
    return tuple(sorted({max(1, depth // 3), max(1, 2 * depth // 3), max(1, depth - 1)}))


def quarters(depth: int) -> tuple[int, ...]:
    """Return the last block of each quarter of a tower: 6, 12, 18, 24 of 24; fewer if it has fewer than four blocks."""
    return tuple(sorted({max(1, depth * part // 4) for part in range(1, 5)}))


@in_full_precision
def descriptors_of(layers: Float[Tensor, "layers batch patches width_"]) -> Float[Tensor, "batch patches width_"]:
    """Return the normalised sum of the unit tokens of some layers."""
    return F.normalize(F.normalize(layers, dim=-1).sum(dim=0), dim=-1)
