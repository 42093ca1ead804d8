"""The frozen CLIP that carries every method: open_clip's modules, driven but never changed."""

from collections.abc import Sequence
from typing import Literal

import open_clip
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from anomalib_cops.encoder import image as vision
from anomalib_cops.encoder import text
from anomalib_cops.encoder.blocks import OpenClipModule, widen
from anomalib_cops.encoder.identity import uses_quick_gelu, weights_digest
from anomalib_cops.encoder.image import ImageFeatures, ImageTokens, Walk
from anomalib_cops.encoder.supported import check_supported
from anomalib_cops.encoder.text import Beginning, DeepPlacement
from anomalib_cops.errors import InputError
from anomalib_cops.weights.format import EncoderIdentity


class FrozenCLIP(nn.Module):
    """An open_clip ViT whose parameters never change, with taps, a local path and prompt slots.

    Args:
        model: open_clip's model, weights loaded; it is frozen here and stays in evaluation mode. What it computes is
            float32; large matrices that it has in half precision stay so, as each can be widened while it is used.
        image_size: side of the square images it will see, in pixels; a multiple of the patch size.
        position_resize: how the position table is fitted to that size.
        position_antialias: low-pass filter when the table shrinks.
        name: what to call the backbone in messages and weight files.
        pretrained: open_clip tag or file of the weights; empty where there is none.

    Attributes:
        identity: what weight files say of this encoder.

    Raises:
        InputError: the image size does not fit, or the model is not a CLIP of this family.
    """

    def __init__(
        self,
        model: OpenClipModule,
        image_size: int,
        *,
        position_resize: Literal["bilinear", "bicubic"] = "bilinear",
        position_antialias: bool = False,
        name: str = "custom",
        pretrained: str = "",
    ) -> None:
        super().__init__()
        check_supported(model, name)
        patch = int(model.visual.conv1.kernel_size[0])
        if image_size < patch or image_size % patch:
            below = max(image_size // patch, 1) * patch
            raise InputError(
                f"image_size={image_size} is not a multiple of the {patch}-pixel patches of backbone '{name}'; "
                f"use {below} or {below + patch}."
            )
        self.model: OpenClipModule = widen(model).requires_grad_(False).eval()
        self.name = name
        self.image_size = image_size
        # Now, as precision="bf16-true" rounds the weights later. It takes a second for ViT-L.
        self.identity = EncoderIdentity(
            backbone=name,
            image_size=image_size,
            quick_gelu=uses_quick_gelu(model),
            pretrained=pretrained,
            digest=weights_digest(model),
        )
        self.patch_size = patch
        self.grid = image_size // patch
        positions = vision.resize_positions(
            self.model.visual.positional_embedding, self.grid, position_resize, position_antialias
        )
        self.register_buffer("positions", positions.detach().clone(), persistent=False)
        self.positions: Tensor

    def train(self, mode: bool = True) -> "FrozenCLIP":
        """Stay in evaluation mode whatever the surrounding module does."""
        return super().train(False)

    def widen_text(self) -> None:
        """Hold the text tower's matrices in the precision of the computation, for training, which needs them often."""
        self.model.transformer.to(self.positions.dtype)

    @property
    def depth(self) -> int:
        """Number of vision blocks."""
        return len(self.model.visual.transformer.resblocks)

    @property
    def dim(self) -> int:
        """Size of the joint space of images and texts."""
        return self.model.visual.proj.shape[1]

    @property
    def image_width(self) -> int:
        """Size of a token inside the image tower."""
        return self.model.visual.proj.shape[0]

    @property
    def text_width(self) -> int:
        """Size of a token embedding."""
        return self.model.token_embedding.embedding_dim

    @property
    def text_depth(self) -> int:
        """Number of text blocks."""
        return len(self.model.transformer.resblocks)

    @property
    def context_length(self) -> int:
        """Number of tokens in a prompt."""
        return self.model.positional_embedding.shape[0]

    def embed_image(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch tokens width_"]:
        """Tokens that enter the first vision block.

        Raises:
            InputError: the images do not have the size the encoder was made for.
        """
        side = self.image_size
        if images.shape[-2:] != (side, side):
            raise InputError(
                f"The encoder was made for {side}x{side} images and got {images.shape[-1]}x{images.shape[-2]}: "
                "keep the model's pre-processor, or resize the images before."
            )
        # The host hands over float32 images, also where it has cast the weights (precision="bf16-true").
        return vision.embed(self.model.visual, images.to(self.positions.dtype), self.positions)

    def image_tokens(
        self,
        images: Float[Tensor, "batch 3 height width"],
        *,
        layers: Sequence[int],
        path: Literal["ordinary", "local"] = "ordinary",
        local_start: int = 1,
        walk: Walk = vision.walk,
    ) -> ImageTokens:
        """Class token after the last block and patch tokens after some blocks, neither normalised nor projected.

        Args:
            images: normalised with CLIP's mean and standard deviation.
            layers: 1-based numbers of the blocks after which patches are read, ascending; at least one.
            path: which path the patches come from.
            local_start: 1-based number of the block where the local (v-v) path leaves the ordinary one.
            walk: the way through the blocks, for methods that add something to it. Tokens that it adds come after
                those of the image.
        """
        blocks = self.model.visual.transformer.resblocks
        local_blocks = range(local_start, max(layers) + 1) if path == "local" else range(0)
        # The last block's patches are often read from the local path alone, or not at all.
        cls_block = self.depth if self.depth not in layers or self.depth in local_blocks else 0
        tapped = []
        x = self.embed_image(images)
        end = x.shape[1]
        for number, (ordinary, local) in enumerate(walk(blocks, x, local_blocks, cls_block), start=1):
            x = ordinary
            if number in layers:
                tokens = ordinary if local is None else local
                tapped.append(tokens[:, 1:end])
        return ImageTokens(cls=x[:, 0], patches=torch.stack(tapped))

    def encode_image(
        self,
        images: Float[Tensor, "batch 3 height width"],
        *,
        layers: Sequence[int],
        path: Literal["ordinary", "local"] = "local",
        local_start: int = 1,
        normalize_cls: bool = False,
        walk: Walk = vision.walk,
    ) -> ImageFeatures:
        """Class feature of the ordinary path and patch features of either path, in the joint space.

        Args:
            images: as for :meth:`image_tokens`, like all that follow but one.
            layers: 1-based numbers of the blocks after which patches are read, ascending.
            path: which path the patches come from.
            local_start: 1-based number of the block where the local path begins.
            normalize_cls: apply the last layer norm to the class token, as CLIP does and CoPS does not.
            walk: the way through the blocks.

        Returns:
            Features in the joint space, not normalised to unit length.
        """
        tokens = self.image_tokens(images, layers=layers, path=path, local_start=local_start, walk=walk)
        cls = self.project_image(tokens.cls) if normalize_cls else tokens.cls @ self.model.visual.proj
        return ImageFeatures(cls=cls, patches=self.project_image(tokens.patches))

    def project_image(self, tokens: Float[Tensor, "*shape width_"]) -> Float[Tensor, "*shape dim"]:
        """Image tokens in the joint space: the last layer norm and the projection."""
        return self.model.visual.ln_post(tokens) @ self.model.visual.proj

    def encode_text(
        self,
        embeddings: Float[Tensor, "prompts tokens width"],
        read_out: int | Sequence[int] | Int[Tensor, " prompts"],
        deep: DeepPlacement | None = None,
        after: Beginning | None = None,
        first: int = 0,
    ) -> Float[Tensor, "prompts dim"]:
        """Text features of prompts given as token embeddings; see :func:`anomalib_cops.encoder.text.encode`."""
        return text.encode(self.model, embeddings, read_out, deep, after, first)

    def begin_text(
        self,
        embeddings: Float[Tensor, "prompts tokens width"],
        deep: DeepPlacement | None = None,
        after: Beginning | None = None,
        first: int = 0,
    ) -> Float[Tensor, "blocks 2 prompts heads longer head_dim"]:
        """Keys and values of tokens that many prompts begin with; see :func:`anomalib_cops.encoder.text.begin`."""
        return text.begin(self.model, embeddings, deep, after, first)

    def first_text_block(
        self, embeddings: Float[Tensor, "prompts tokens width"]
    ) -> Float[Tensor, "prompts tokens width"]:
        """Tokens that leave the first text block; see :func:`anomalib_cops.encoder.text.walk`."""
        tokens, _ = next(text.walk(self.model, embeddings))
        return tokens

    def read_text(
        self,
        embeddings: Float[Tensor, "prompts tokens width"],
        read_out: int,
        deep: DeepPlacement | None = None,
    ) -> Float[Tensor, "prompts width"]:
        """Read-out tokens, neither normalised nor projected; see :func:`anomalib_cops.encoder.text.read`."""
        return text.read(self.model, embeddings, read_out, deep)

    def project_text(self, tokens: Float[Tensor, "*prompts width"]) -> Float[Tensor, "*prompts dim"]:
        """Read-out tokens in the joint space: the last layer norm and the projection."""
        return text.project(self.model, tokens)

    def encode_sentences(self, sentences: Sequence[str]) -> Float[Tensor, "sentences dim"]:
        """Text features of plain sentences, not normalised, as open_clip's own ``encode_text`` gives them."""
        ids = self.tokenize(sentences)
        return self.encode_text(self.embed_tokens(ids.to(self.positions.device)), end_of_text(ids))

    def embed_tokens(self, token_ids: Int[Tensor, "prompts tokens"]) -> Float[Tensor, "prompts tokens width"]:
        """Token embeddings without positions."""
        return self.model.token_embedding(token_ids).to(self.positions.dtype)

    def tokenize(self, sentences: Sequence[str]) -> Int[Tensor, "sentences tokens"]:
        """Token ids of the CLIP tokenizer, padded with zeros to the context length.

        Raises:
            InputError: a sentence is too long for the text tower.
        """
        ids = open_clip.tokenize(list(sentences), self.context_length + 1)
        for sentence, surplus in zip(sentences, ids[:, -1].tolist(), strict=True):
            if surplus:
                raise InputError(
                    f"'{sentence[:40]}…' has more than the {self.context_length} tokens that the text encoder of "
                    f"'{self.name}' can read; use a shorter name for the product."
                )
        # A tensor of its own: DistributedDataParallel cannot broadcast a part of another one.
        return ids[:, :-1].clone(memory_format=torch.contiguous_format)


def end_of_text(token_ids: Int[Tensor, "sentences tokens"]) -> list[int]:
    """Position of the end-of-text token, which has the highest id, in every sentence."""
    positions: list[int] = token_ids.argmax(dim=-1).tolist()
    return positions
