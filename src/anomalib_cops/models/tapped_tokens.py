"""Read raw tokens of some blocks of the frozen image tower, for models that score patches by learned linear maps."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from anomalib_cops.encoder import ImageTokens
from anomalib_cops.models.patch_memory import FewShotModel


class TappedTokensModel(FewShotModel):
    """Base of torch models whose frozen features are the raw tokens of the ordinary path.

    Attributes:
        layers: 1-based numbers of the blocks after which patches are read.
    """

    frozen_features = ImageTokens
    layers: tuple[int, ...]

    @property
    def taps(self) -> tuple[Any, ...]:
        """Values besides image and encoder that the tokens depend on."""
        return (self.layers,)

    @torch.no_grad()
    def encode(self, images: Float[Tensor, "batch 3 height width"]) -> ImageTokens:
        """Return raw tokens of the ordinary path, without norm, projection or gradient."""
        return self.clip.image.tokens(images, layers=self.layers, describe=self.memory is not None)
