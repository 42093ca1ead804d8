"""Post-VCP: update text features by attention to the image's patches, then compare them with the patches."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from anomalib_cops.alignment import TEMPERATURE, cosine


class PostVCP(nn.Module):
    """Cross-attention from text to patches, in the width of the image tower (VCP-CLIP, "Post-VCP").

    One module serves all tapped layers. It has no residual, no norm and no feed-forward, and products of queries and
    keys are not divided by the root of their size.

    Args:
        width: size of a patch token inside the image tower.
        dim: size of the joint space.
        heads: number of attention heads, which must divide ``width``.
    """

    def __init__(self, width: int, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, width)
        self.key = nn.Linear(width, width)  # its bias has no effect: the softmax over patches removes it
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / TEMPERATURE)))

    def update(
        self, text: Float[Tensor, "batch states dim"], patches: Float[Tensor, "batch patches width_"]
    ) -> Float[Tensor, "batch states width_"]:
        """Return text features attended to an image's patches: unit vectors of the patches' size.

        Args:
            text: unit text features.
            patches: raw patch tokens of one layer.
        """
        patches = F.normalize(patches, dim=-1)
        query, key, value = (
            x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for x in (self.query(text), self.key(patches), self.value(patches))
        )
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return F.normalize(self.out(attended.transpose(1, 2).flatten(2)), dim=-1)

    def forward(
        self, patches: Float[Tensor, "layers batch patches width_"], text: Float[Tensor, "batch states dim"]
    ) -> Float[Tensor, "layers batch patches states"]:
        """Return the scaled cosine between every raw patch and the updated text feature of every state."""
        return self.log_scale.exp() * torch.stack([cosine(layer, self.update(text, layer)) for layer in patches])
