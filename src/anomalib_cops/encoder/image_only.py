"""Image towers without a text tower: the DINOv2 and DINOv3 models of timm, for methods that read no words."""

from functools import cache
from typing import Any

import timm
from jaxtyping import Float
from open_clip.timm_model import TimmModel
from torch import Tensor, nn

FAMILIES = ("vit_*_dinov2", "vit_*_dinov3", "vit_*_dinov3_qkvb")
"""Patterns of timm's names of these models."""
TRUNK = "visual.trunk."
"""Where open_clip's image towers hold a model of timm."""


class ImageOnly(nn.Module):
    """A model of timm, held as open_clip holds an image tower of timm.

    Its joint space is the tower's own width, as there is nothing to project for.

    Args:
        vision: ``vision_cfg`` of :func:`image_only_config`.

    Attributes:
        visual: open_clip's image tower.
        text: None, where models of open_clip have a text tower.
    """

    text: None = None

    def __init__(self, vision: dict[str, Any]) -> None:
        super().__init__()
        # Without a projection, there is no use for the size of a joint space.
        self.visual = TimmModel(vision["timm_model_name"], 0, vision["image_size"], pool="token", proj="none")

    def encode_image(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Return timm's own feature of every image, the normalised class token."""
        return self.visual(images)


@cache
def image_only_names() -> tuple[str, ...]:
    """Return the names of these models, as timm lists them."""
    return tuple(timm.list_models(list(FAMILIES)))


def image_only_config(backbone: str) -> dict[str, Any]:
    """Return the configuration of one of these models, like those of open_clip but without a text tower."""
    entry: Any = timm.models.get_pretrained_cfg(backbone)
    return {"vision_cfg": {"timm_model_name": backbone, "image_size": entry.input_size[-1]}}
