"""The frozen CLIP that all methods share: open_clip's modules, used but never changed."""

from typing import Literal

from torch import Tensor, nn

from anomalib_cops.encoder.blocks import OpenClipModule, widen
from anomalib_cops.encoder.identity import EncoderIdentity, uses_quick_gelu, weights_digest
from anomalib_cops.encoder.image import ImageTower
from anomalib_cops.encoder.normalisation import CLIP_MEAN, CLIP_STD, ChannelValues
from anomalib_cops.encoder.positions import resize_positions
from anomalib_cops.encoder.supported import check_supported
from anomalib_cops.encoder.text import TextTower
from anomalib_cops.errors import InputError


class FrozenCLIP(nn.Module):
    """An open_clip ViT whose parameters never change; :attr:`image` and :attr:`text` are its two towers.

    Args:
        model: open_clip's model with its weights loaded. It is frozen here and stays in evaluation mode. It computes in
            float32; large matrices that it has in half precision are kept so, and converted when they are used.
        image_size: side of the square images in pixels; a multiple of the patch size.
        position_resize: interpolation by which the position table is fitted to that size.
        position_antialias: apply a low-pass filter when the table shrinks.
        name: name of the backbone in messages and weight files.
        pretrained: open_clip tag or file of the weights; empty if there is none.
        mean: mean of each colour channel, in [0, 1], in the images that the weights were trained on.
        std: standard deviation of each colour channel in these images.

    Attributes:
        model: open_clip's model.
        name: name of the backbone.
        image_size: side of the square images in pixels.
        patch_size: side of a patch in pixels.
        grid: number of patches along a side of the image.
        identity: what weight files record of this encoder.
        positions: the position table at this image size.

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
        mean: ChannelValues = CLIP_MEAN,
        std: ChannelValues = CLIP_STD,
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
        self.patch_size = patch
        self.grid = image_size // patch
        positions = resize_positions(
            self.model.visual.positional_embedding, self.grid, position_resize, position_antialias
        )
        self.register_buffer("positions", positions.detach().clone(), persistent=False)
        self.positions: Tensor

    @property
    def image(self) -> ImageTower:
        """The image tower.

        Both towers are made anew at each access, so that they hold the parameters that the module has now, wherever it
        was moved or copied; do not keep one while the module moves.
        """
        return ImageTower(self.model.visual, self.positions, self.image_size)

    @property
    def text(self) -> TextTower:
        """The text tower."""
        return TextTower(self.model, self.name)

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
        return len(self.model.visual.transformer.resblocks)

    @property
    def text_depth(self) -> int:
        """Number of blocks in the text tower."""
        return len(self.model.transformer.resblocks)

    @property
    def image_width(self) -> int:
        """Size of a token in the image tower."""
        return self.model.visual.proj.shape[0]

    @property
    def text_width(self) -> int:
        """Size of a token embedding."""
        return self.model.token_embedding.embedding_dim

    @property
    def dim(self) -> int:
        """Size of the joint space of images and texts."""
        return self.model.visual.proj.shape[1]

    def train(self, mode: bool = True) -> "FrozenCLIP":
        """Stay in evaluation mode, whatever the surrounding module does."""
        return super().train(False)

    def widen_text(self) -> None:
        """Convert the text tower's matrices to the precision of the computation, as training uses them often."""
        self.model.transformer.to(self.positions.dtype)
