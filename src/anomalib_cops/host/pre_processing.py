"""Raw image → model input: Pillow's resizing, the encoder's normalisation."""

from typing import Any

import torch
from anomalib.data.transforms.utils import extract_transforms_by_type
from anomalib.pre_processing import PreProcessor
from jaxtyping import Float, Shaped
from lightning.pytorch import LightningModule, Trainer
from PIL import Image as PILImage
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from anomalib_cops.data.unit_range import to_unit_range
from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.encoder.normalisation import CLIP_MEAN, CLIP_STD, ChannelValues
from anomalib_cops.host.graph_resize import GraphResize
from anomalib_cops.host.reading_ahead import is_read_ahead
from anomalib_cops.host.rereading import datasets
from anomalib_cops.images.reading import check_images
from anomalib_cops.images.resizing import resize_planes
from anomalib_cops.images.whole_files import looks_whole
from anomalib_cops.tracing import tracing


def pillow_resize(
    image: Float[Tensor, "channels height width"], size: tuple[int, int], resample: PILImage.Resampling
) -> Float[Tensor, "channels new_height new_width"]:
    """Resize channels in [0, 1] through 8 bits with Pillow, as the official code does to files.

    torchvision's own filter neither rounds between its two passes nor clips what overshoots at edges.
    """
    return torch.from_numpy(resize_planes(image.detach().cpu().float().numpy(), size, resample)).to(image.device)


def resize_mask(
    mask: Shaped[Tensor, "channels height width"], size: tuple[int, int]
) -> Float[Tensor, "channels new_height new_width"]:
    """Shrink or enlarge a mask smoothly; the result in [0, 1] is thresholded at one half by the caller."""
    return pillow_resize((mask > 0).float(), size, PILImage.Resampling.BILINEAR)


class PillowResize(v2.Resize):
    """Bicubic resizing to a fixed size, equal to Pillow's; masks are resized smoothly, then cut at one half.

    Inputs of the right size pass unchanged, so it can run per image in a data set and again on the batch.

    Args:
        size: height and width in pixels; the aspect ratio is not kept.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__(size, interpolation=v2.InterpolationMode.BICUBIC, antialias=True)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Resize one tensor (or leave anything else as it is)."""
        size = (self.size[0], self.size[-1])
        if not isinstance(inpt, Tensor) or tuple(inpt.shape[-2:]) == size:
            return inpt
        flat = inpt.reshape(-1, *inpt.shape[-2:])
        if isinstance(inpt, tv_tensors.Mask):
            resized: Tensor = (resize_mask(flat, size) > 0.5).to(inpt.dtype)
        else:
            resized = pillow_resize(flat, size, PILImage.Resampling.BICUBIC).to(inpt.dtype)
        return (
            tv_tensors.wrap(resized.reshape(*inpt.shape[:-2], *size), like=inpt)
            if isinstance(inpt, tv_tensors.TVTensor)
            else resized.reshape(*inpt.shape[:-2], *size)
        )


class ClipPreProcessor(PreProcessor):
    """Resize to the encoder's image size and normalise as the encoder was trained.

    An exported model does the same inside its graph.

    Args:
        image_size: height and width in pixels.
        mean: mean of each colour channel, in [0, 1]; CLIP's if not given.
        std: standard deviation of each colour channel; CLIP's if not given.

    Attributes:
        model_transform: what the encoder needs.
        transform: what anomalib applies to every image and batch: the same, or nothing for a model that cuts images
            into tiles first.
    """

    def __init__(
        self, image_size: tuple[int, int], mean: ChannelValues = CLIP_MEAN, std: ChannelValues = CLIP_STD
    ) -> None:
        transform = v2.Compose([PillowResize(image_size), v2.Normalize(mean, std)])
        super().__init__(transform)
        self.model_transform = transform
        self.image_size = image_size
        self.mean, self.std = mean, std
        self.export_transform = self._in_graphs()

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Height and width that every image is resized to before anything else; None if images keep their size."""
        first = self.transform.transforms[0] if isinstance(self.transform, v2.Compose) else None
        return (first.size[0], first.size[-1]) if isinstance(first, PillowResize) else None

    def keep_size(self, keeps: bool) -> None:
        """Leave images as they are, or prepare them for the encoder again."""
        self.transform = None if keeps else self.model_transform

    def _in_graphs(self) -> v2.Compose:
        return v2.Compose([GraphResize(self.image_size), v2.Normalize(self.mean, self.std)])

    def fit_to(self, clip: FrozenCLIP) -> None:
        """Take an encoder's image size, mean and std; data modules share the transform, so that they follow."""
        self.image_size = (clip.image_size, clip.image_size)
        self.mean, self.std = clip.mean, clip.std
        for resize in extract_transforms_by_type(self.model_transform, v2.Resize):
            resize.size = list(self.image_size)
        for normalize in extract_transforms_by_type(self.model_transform, v2.Normalize):
            normalize.mean, normalize.std = list(self.mean), list(self.std)
        self.export_transform = self._in_graphs()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at all images before hours are spent on the first of them.

        Images that are read ahead are not decoded for it, unless a look at their first and last bytes tells that
        something is wrong with them.

        Raises:
            InputError: naming the images that cannot be read.
        """
        for dataset in datasets(trainer.predict_dataloaders):
            paths = getattr(dataset, "image_filenames", [])
            check_images((path for path in paths if not looks_whole(path)) if is_read_ahead(dataset) else paths)

    def forward(self, batch: Tensor) -> Tensor:
        """Images in memory, as an exported model takes them.

        Raises:
            InputError: levels are not between 0 and 1; a graph cannot look at them.
        """
        levels = batch if tracing() else to_unit_range(batch)
        return super().forward(levels)

    def checkpoint_config(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the image size; mean and std are in the record of the encoder."""
        return {"image_size": list(self.image_size)}

    def load_checkpoint_config(self, config: dict[str, Any]) -> None:
        """Restore nothing: all values are the encoder's, which the model's own arguments fix."""
