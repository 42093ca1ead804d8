"""The frozen CLIP that all methods share: open_clip's modules, used but never changed."""

from collections.abc import Iterator
from typing import Literal

import torch
from open_clip.timm_model import TimmModel
from torch import Tensor, nn

from anomalib_cops.encoder.blocks import ForeignModule
from anomalib_cops.encoder.identity import EncoderIdentity, uses_quick_gelu, weights_digest
from anomalib_cops.encoder.image import ImageTower
from anomalib_cops.encoder.normalisation import CLIP_MEAN, CLIP_STD, ChannelValues
from anomalib_cops.encoder.openvino_tower import OpenVINOTower
from anomalib_cops.encoder.positions import check_image_size, resize_positions
from anomalib_cops.encoder.supported import check_supported
from anomalib_cops.encoder.text import TextTower, text_module
from anomalib_cops.encoder.timm_trunk import TimmTrunk
from anomalib_cops.encoder.tokenizer import Tokenizer
from anomalib_cops.encoder.trunk import OpenClipTrunk, Trunk
from anomalib_cops.errors import InputError


class FrozenCLIP(nn.Module):
    """A model of open_clip whose parameters never change; :attr:`image` and :attr:`text` are its two towers.

    It may also hold an image tower alone, for methods that read no words.

    Args:
        model: open_clip's model, or an :class:`~anomalib_cops.encoder.image_only.ImageOnly`, with its weights loaded.
            It is frozen here and stays in evaluation mode. It computes in float32; large matrices that it has in half
            precision are kept so, and converted when they are used.
        image_size: side of the square images in pixels; a multiple of the patch size.
        position_resize: interpolation by which the position table is fitted to that size.
        position_antialias: apply a low-pass filter when the table shrinks.
        name: name of the backbone in messages and weight files.
        pretrained: open_clip tag or file of the weights; empty if there is none.
        mean: mean of each colour channel, in [0, 1], in the images that the weights were trained on.
        std: standard deviation of each colour channel in these images.
        tokenizer: tokenizer of the text tower; CLIP's own if not given.

    Attributes:
        model: open_clip's model.
        name: name of the backbone.
        image_size: side of the square images in pixels.
        patch_size: side of a patch in pixels.
        grid: number of patches along a side of the image.
        identity: what weight files record of this encoder.
        positions: the position table at this image size; None if the tower has rotary positions alone.
        rotation: sines and cosines of rotary positions at this image size; None if the tower has none.
        graphs: runs the image tower by OpenVINO; None to run it by torch.
        tokenizer: tokenizer of the text tower; None if there is no text tower.

    Raises:
        InputError: the image size does not fit, or the model's towers are of a family that is not supported.
    """

    def __init__(
        self,
        model: ForeignModule,
        image_size: int,
        *,
        position_resize: Literal["bilinear", "bicubic"] = "bilinear",
        position_antialias: bool = False,
        name: str = "custom",
        pretrained: str = "",
        mean: ChannelValues = CLIP_MEAN,
        std: ChannelValues = CLIP_STD,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        super().__init__()
        check_supported(model, name, own_tokenizer=tokenizer is not None and not tokenizer.is_clips)
        kind = trunk_kind(model)
        patch = kind.patch_size_of(model.visual)
        check_image_size(image_size, patch, name)
        self.model: ForeignModule = model.requires_grad_(False).eval()
        widen(model)
        self.name = name
        self.image_size = image_size
        text = text_module(model)
        if tokenizer is None and text is not None:
            tokenizer = Tokenizer(context_length=text.context_length, backbone=name)
        self.tokenizer = tokenizer
        # Computed now, as precision="bf16-true" rounds the weights later. It takes a second for ViT-L.
        self.identity = EncoderIdentity(
            backbone=name,
            image_size=image_size,
            quick_gelu=uses_quick_gelu(model),
            pretrained=pretrained,
            digest=weights_digest(model),
            mean=mean,
            std=std,
        )
        self.graphs: OpenVINOTower | None = None
        self.patch_size = patch
        self.grid = image_size // patch
        self._trunk = kind
        table, rows = kind.position_table_of(model.visual)
        if table is not None:
            table = resize_positions(table, self.grid, position_resize, position_antialias, rows).detach().clone()
        self.register_buffer("positions", table, persistent=False)
        self.positions: Tensor | None
        self.register_buffer("rotation", kind.rotation_of(model.visual, self.grid), persistent=False)
        self.rotation: Tensor | None

    @property
    def image(self) -> ImageTower:
        """The image tower.

        Both towers are made anew at each access, so that they hold the parameters that the module has now, wherever it
        was moved or copied; do not keep one while the module moves.
        """
        trunk = self._trunk(self.model.visual, self.positions, self.rotation)
        return ImageTower(trunk, self.image_size, self.dtype, self.graphs)

    @property
    def text(self) -> TextTower:
        """The text tower.

        Raises:
            InputError: there is none.
        """
        if self.tokenizer is None:
            raise InputError(
                f"Backbone '{self.name}' has no text tower, and words are read here; use a backbone with one, such as "
                "ViT-B-16."
            )
        return TextTower(text_module(self.model), self.tokenizer)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self._first_weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the computation."""
        return self._first_weight.dtype

    @property
    def mean(self) -> ChannelValues:
        """Mean of each colour channel, in [0, 1], that images have to be normalised with."""
        return self.identity.mean

    @property
    def std(self) -> ChannelValues:
        """Standard deviation of each colour channel that images have to be normalised with."""
        return self.identity.std

    @property
    def depth(self) -> int:
        """Number of blocks in the image tower."""
        return len(self.image.trunk.blocks)

    @property
    def text_depth(self) -> int:
        """Number of blocks in the text tower."""
        return len(self.text.blocks)

    @property
    def image_width(self) -> int:
        """Size of a token in the image tower."""
        return self.image.trunk.width

    @property
    def text_width(self) -> int:
        """Size of a token embedding."""
        return self.text.module.token_embedding.embedding_dim

    @property
    def dim(self) -> int:
        """Size of the joint space of images and texts."""
        return self.image.trunk.dim

    def train(self, mode: bool = True) -> "FrozenCLIP":
        """Stay in evaluation mode, whatever the surrounding module does."""
        return super().train(False)

    def widen_text(self) -> None:
        """Convert matrices of a text tower to the precision of the computation, as training uses them often."""
        if self.tokenizer is not None:
            self.text.module.transformer.to(self.dtype)

    def text_parameters(self) -> Iterator[Tensor]:
        """Return the weights of the text tower's blocks."""
        return self.text.module.transformer.parameters()

    @property
    def _first_weight(self) -> Tensor:
        """A class token or position table, which is never kept in half precision as large matrices are."""
        return next(self.model.visual.parameters())


def trunk_kind(model: ForeignModule) -> type[Trunk]:
    """Return the class of ours that runs the image tower of a model of open_clip."""
    return TimmTrunk if isinstance(model.visual, TimmModel) else OpenClipTrunk


def widen(model: ForeignModule) -> None:
    """Convert weights to float32 in place, except half-precision matrices of blocks and the token table."""
    text = text_module(model)
    blocks = [block.module for block in trunk_kind(model)(model.visual, None).blocks]
    tables = [] if text is None else [text.token_embedding.weight]
    blocks += [] if text is None else text.transformer.resblocks
    large = {*tables, *(p for block in blocks for p in block.parameters() if p.ndim == 2)}
    for value in (*model.parameters(), *model.buffers()):
        if value.is_floating_point() and (value not in large or value.dtype.itemsize != 2):
            value.data = value.data.float()
