"""The frozen CLIP that carries every method: open_clip's modules, driven but never changed."""

from collections.abc import Sequence
from typing import Literal

import open_clip
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from anomalib_cops.clip import text, vision
from anomalib_cops.clip.blocks import OpenClipModule
from anomalib_cops.clip.text import DeepPlacement
from anomalib_cops.clip.vision import ImageFeatures
from anomalib_cops.errors import InputError


class FrozenCLIP(nn.Module):
    """An open_clip ViT whose parameters never change, with taps, a local path and prompt slots.

    Args:
        model: open_clip's model, weights loaded; it is frozen here and stays in evaluation mode.
        image_size: side of the square images it will see, in pixels; a multiple of the patch size.
        position_resize: how the position table is fitted to that size.
        position_antialias: low-pass filter when the table shrinks.
        name: what to call the backbone in messages and weight files.

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
        self.model: OpenClipModule = model.float().requires_grad_(False).eval()
        self.name = name
        self.image_size = image_size
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

    @property
    def depth(self) -> int:
        """Number of vision blocks."""
        return len(self.model.visual.transformer.resblocks)

    @property
    def dim(self) -> int:
        """Size of the joint space of images and texts."""
        return self.model.visual.proj.shape[1]

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
        return vision.embed(self.model.visual, images, self.positions)

    def encode_image(
        self,
        images: Float[Tensor, "batch 3 height width"],
        *,
        layers: Sequence[int],
        path: Literal["ordinary", "local"] = "local",
        local_start: int = 1,
        normalize_cls: bool = False,
    ) -> ImageFeatures:
        """Class feature of the ordinary path and patch features of either path.

        Args:
            images: normalised with CLIP's mean and standard deviation.
            layers: 1-based numbers of the blocks after which patches are read, ascending.
            path: which path the patches come from.
            local_start: 1-based number of the block where the local (v-v) path leaves the ordinary one.
            normalize_cls: apply the last layer norm to the class token, as CLIP does and CoPS does not.

        Returns:
            Features in the joint space, not normalised to unit length.
        """
        visual = self.model.visual
        blocks = visual.transformer.resblocks
        local_blocks = range(local_start, max(layers) + 1) if path == "local" else range(0)
        tapped = []
        x = self.embed_image(images)
        for number, (ordinary, local) in enumerate(vision.walk(blocks, x, local_blocks), start=1):
            x = ordinary
            if number in layers:
                tokens = ordinary if local is None else local
                tapped.append(visual.ln_post(tokens[:, 1:]) @ visual.proj)
        cls = visual.ln_post(x[:, 0]) if normalize_cls else x[:, 0]
        return ImageFeatures(cls=cls @ visual.proj, patches=torch.stack(tapped))

    def encode_text(
        self,
        embeddings: Float[Tensor, "prompts tokens width"],
        read_out: int,
        deep: DeepPlacement | None = None,
    ) -> Float[Tensor, "prompts dim"]:
        """Text features of prompts given as token embeddings; see :func:`anomalib_cops.clip.text.encode`."""
        return text.encode(self.model, embeddings, read_out, deep)

    def encode_variants(
        self,
        embeddings: Float[Tensor, "prompts variants tokens width"],
        shared: int,
        read_out: int,
        deep: DeepPlacement | None = None,
    ) -> Float[Tensor, "prompts variants dim"]:
        """Text features of prompts with a common beginning; see :func:`anomalib_cops.clip.text.encode_variants`."""
        return text.encode_variants(self.model, embeddings, shared, read_out, deep)

    def encode_sentences(self, sentences: Sequence[str]) -> Float[Tensor, "sentences dim"]:
        """Text features of plain sentences, not normalised."""
        return text.encode_sentences(self.model, self.tokenize(sentences).to(self.positions.device))

    def embed_tokens(self, token_ids: Int[Tensor, "prompts tokens"]) -> Float[Tensor, "prompts tokens width"]:
        """Token embeddings without positions."""
        return self.model.token_embedding(token_ids)

    def tokenize(self, sentences: Sequence[str]) -> Int[Tensor, "sentences tokens"]:
        """Token ids of the CLIP tokenizer, padded with zeros to the context length."""
        return open_clip.tokenize(list(sentences), self.context_length)


def check_supported(model: OpenClipModule, name: str) -> None:
    """Refuse models whose towers are not the plain CLIP transformers that are walked here.

    Raises:
        InputError: naming what does not fit.
    """
    visual = getattr(model, "visual", None)
    block = "ResidualAttentionBlock"
    problem = None
    if not isinstance(model, open_clip.CLIP) or not isinstance(visual, open_clip.transformer.VisionTransformer):
        problem = "it is not a CLIP with a Vision Transformer and CLIP's own text tower"
    elif getattr(visual, "attn_pool", None) is not None or getattr(visual, "pool_type", "tok") != "tok":
        problem = "its image tower does not read a class token"
    elif any(type(b).__name__ != block for b in (*visual.transformer.resblocks, *model.transformer.resblocks)):
        problem = "its blocks are not the standard attention blocks"
    elif model.attn_mask is None:
        problem = "its text tower is not causal"
    if problem is not None:
        raise InputError(f"Backbone '{name}' cannot be used: {problem}; try ViT-L-14-336, ViT-B-16 or tiny.")
