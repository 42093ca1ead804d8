"""ESTS, explicit state token synthesis: compute normal and anomalous prototypes from patches (CoPS, "ESTS")."""

from collections import OrderedDict

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from anomalib_cops.alignment import to_grid
from anomalib_cops.distributed import mean_count
from anomalib_cops.precision import in_full_precision

PAPER_HEADS = 12
HEAD_WIDTH = 64


def neighbourhood_mean(
    patches: Float[Tensor, "layers batch patches dim"], kernel: int
) -> Float[Tensor, "layers batch patches dim"]:
    """Average every patch with its neighbours in a square window; positions outside the image count as zeros.

    Args:
        patches: local features.
        kernel: side of the window in patches, odd; 1 leaves the features as they are.
    """
    layers = patches.shape[0]
    grids = to_grid(patches.flatten(0, 1).mT)
    pooled = F.avg_pool2d(grids, kernel, stride=1, padding=kernel // 2)
    return pooled.flatten(2).mT.unflatten(0, (layers, -1))


class QuickGELU(nn.Module):
    """CLIP's sigmoid approximation of the GELU."""

    def forward(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Apply x * sigmoid(1.702 x)."""
        return x * torch.sigmoid(1.702 * x)


class PrototypeExtractor(nn.Module):
    """Compute an image's prototypes by cross-attention from learnable queries of both states to its patches.

    One cross-attention block serves both states, and one layer norm serves queries and patches. Queries do not attend
    to each other, so both states go through it in one call. There are few queries and many patches, so the projections
    of keys and values are applied to the queries' side: q · (W x) is (Wᵀ q) · x, and a mean of W x is W times the mean
    of x. The bias of the keys adds the same number to all patches, which the softmax removes.

    Args:
        dim: size of the joint space.
        prototypes: number of prototypes per state, M in the paper.
    """

    def __init__(self, dim: int, prototypes: int = 6) -> None:
        super().__init__()
        heads = PAPER_HEADS if dim % PAPER_HEADS == 0 else max(1, dim // HEAD_WIDTH)
        self.queries = nn.Parameter(torch.empty(2, prototypes, dim).normal_(std=0.02))
        self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.ln_1 = nn.LayerNorm(dim)
        self.ln_2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(OrderedDict(c_fc=nn.Linear(dim, dim), gelu=QuickGELU(), c_proj=nn.Linear(dim, dim)))
        self.apply(init_linear)

    def forward(self, patches: Float[Tensor, "batch patches dim"]) -> Float[Tensor, "batch states prototypes dim"]:
        """Return the normal (state 0) and anomalous (state 1) prototypes of each image."""
        queries, keys = self.queries.flatten(0, 1), self.ln_1(patches)
        x = queries + self._attend(self.ln_1(queries), keys)
        x = x + self.mlp(self.ln_2(x))
        return x.unflatten(1, self.queries.shape[:2])

    def _attend(
        self, queries: Float[Tensor, "queries dim"], keys: Float[Tensor, "batch patches dim"]
    ) -> Float[Tensor, "batch queries dim"]:
        """Compute multi-head cross-attention, with the queries of each head projected into the space of patches."""
        heads, width = self.attn.num_heads, self.attn.head_dim
        of_query, of_key, of_value = self.attn.in_proj_weight.chunk(3)
        query_bias, _, value_bias = self.attn.in_proj_bias.chunk(3)
        split = F.linear(queries, of_query, query_bias).unflatten(-1, (heads, width))
        moved = torch.einsum("qhw,hwd->qhd", split, of_key.unflatten(0, (heads, width))).flatten(0, 1)
        # Add an axis of one head: exported graphs support attention with four axes only.
        keys = keys.unsqueeze(1)
        attended = F.scaled_dot_product_attention(moved.expand(keys.shape[0], 1, -1, -1), keys, keys, scale=width**-0.5)
        attended = attended[:, 0].unflatten(1, (-1, heads))
        mixed = torch.einsum("bqhd,hwd->bqhw", attended, of_value.unflatten(0, (heads, width))).flatten(2)
        return self.attn.out_proj(mixed + value_bias)


def init_linear(module: nn.Module) -> None:
    """Initialise a linear layer as the official code does: weights from N(0, 0.02²), biases zero."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


@in_full_precision
def nearest_distance(
    patches: Float[Tensor, "batch patches dim"], prototypes: Float[Tensor, "batch prototypes dim"]
) -> Float[Tensor, "batch patches"]:
    """Return the cosine distance of every patch to its nearest prototype, in [0, 2]."""
    patches = F.normalize(patches, dim=-1, eps=1e-8)
    prototypes = F.normalize(prototypes, dim=-1, eps=1e-8)
    return (1 - patches @ prototypes.mT).amin(dim=-1)


def center_losses(
    distance_normal: Float[Tensor, "batch patches"],
    distance_anomalous: Float[Tensor, "batch patches"],
    anomalous: Float[Tensor, "batch patches"],
    masked: Bool[Tensor, " batch"] | None = None,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the centre losses, which pull patches towards the prototypes of their own state.

    Args:
        distance_normal: distance to the nearest normal prototype.
        distance_anomalous: distance to the nearest anomalous prototype.
        anomalous: 1 where a patch contains an anomalous pixel, else 0.
        masked: whether each image's mask is known, so that its patches count; all do by default.

    Returns:
        The mean distance of the batch's normal patches and that of its anomalous patches; 0 if there are none (the
        official code gives NaN for a batch without normal patches).
    """
    normal = 1 - anomalous
    if masked is not None:
        normal, anomalous = (patches * masked.unsqueeze(1) for patches in (normal, anomalous))
    gather = (distance_normal * normal).sum() / mean_count(normal.sum())
    scatter = (distance_anomalous * anomalous).sum() / mean_count(anomalous.sum())
    return gather, scatter
