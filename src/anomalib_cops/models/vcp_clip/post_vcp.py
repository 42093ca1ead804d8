"""Post-VCP: the text features look at the image's patches before they are compared with them."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from anomalib_cops.alignment import TEMPERATURE, cosine


class PostVCP(nn.Module):
    """Cross-attention from text to patches, in the width of the image tower (VCP-CLIP, "Post-VCP").

    One module serves all tapped layers. There is neither a residual nor a norm nor a feed-forward in it, and the
    products of queries and keys are not divided by the root of their size.

    Args:
        width: of a patch token inside the image tower.
        dim: size of the joint space.
        heads: of the attention; they divide ``width``.
    """

    def __init__(self, width: int, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, width)
        self.key = nn.Linear(width, width)  # its bias does nothing: the softmax over patches removes it
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / TEMPERATURE)))

    def update(
        self, text: Float[Tensor, "batch states dim"], patches: Float[Tensor, "batch patches width_"]
    ) -> Float[Tensor, "batch states width_"]:
        """Unit text features of each image in the width of its patches: what the text finds among them.

        Args:
            text: unit text features.
            patches: raw patch tokens of one layer.
        """
        patches = F.normalize(patches, dim=-1)
        query, key, value = (
            x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for x in (self.query(text), self.key(patches), self.value(patches))
        )
        found = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return F.normalize(self.out(found.transpose(1, 2).flatten(2)), dim=-1)

    def forward(
        self, patches: Float[Tensor, "layers batch patches width_"], text: Float[Tensor, "batch states dim"]
    ) -> Float[Tensor, "layers batch patches states"]:
        """Scaled cosine between every raw patch and the updated text feature of every state."""
        return self.log_scale.exp() * torch.stack([cosine(layer, self.update(text, layer)) for layer in patches])
