"""Pre-VCP: turn the global feature into words of the prompt, and compare projected patches with the text."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anomalib_cops.alignment import TEMPERATURE, cosine

KERNEL = 3


class PreVCP(nn.Module):
    """Visual context tokens before the text encoder, and the maps of projected patches (VCP-CLIP, "Pre-VCP").

    Args:
        width: size of a patch token inside the image tower.
        dim: size of the joint space.
        words: size of a word embedding, and of the global feature.
        layers: number of tapped vision blocks, each with a projection of its own.
        tokens: number of visual context tokens, r.
        use_global: add the global feature to these tokens.
    """

    def __init__(self, width: int, dim: int, words: int, layers: int, tokens: int, *, use_global: bool = True) -> None:
        super().__init__()
        self.query = nn.Parameter(nn.init.trunc_normal_(torch.empty(tokens, words)))
        # It slides over the channels of one vector. Its bias has no effect, as layer norms remove constants.
        self.conv = nn.Conv1d(1, tokens, KERNEL, padding=KERNEL // 2) if use_global else None
        self.project = nn.ModuleList(nn.Linear(width, dim) for _ in range(layers))
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / TEMPERATURE)))

    def context(self, global_feature: Float[Tensor, "batch _"]) -> Float[Tensor, "batch slots words"]:
        """Return visual context tokens: learnable words plus filtered copies of the global feature, not normalised.

        Args:
            global_feature: one vector per image, of the size of a word. Only their number counts without
                ``use_global``.
        """
        if self.conv is None:
            return self.query.expand(global_feature.shape[0], -1, -1)
        return self.query + self.conv(global_feature.unsqueeze(1))

    def forward(
        self, patches: Float[Tensor, "layers batch patches width_"], text: Float[Tensor, "batch states dim"]
    ) -> Float[Tensor, "layers batch patches states"]:
        """Return the scaled cosine between every projected patch and the text feature of every state."""
        projected = [project(layer) for project, layer in zip(self.project, patches, strict=True)]
        return self.log_scale.exp() * torch.stack([cosine(layer, text) for layer in projected])
