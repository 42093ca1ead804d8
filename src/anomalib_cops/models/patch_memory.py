"""Compare an image's patches with those of a few good images, and join the result with that of the prompts."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from anomalib.data import InferenceBatch
from jaxtyping import Float, Int
from torch import Tensor, nn

from anomalib_cops.alignment import enlarge_smoothly, gaussian_smooth, to_grid
from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.precision import KeepsPrecision, in_full_precision

TOP_SHARE = 0.05
"""Share of an image's patches, those farthest from the memory, whose mean distance is the distance of the image."""
SIGMA = 4.0
"""Standard deviation of the smoothing of the memory's map, in pixels of the model's input."""
CHUNK = 2048
"""Entries that are compared at a time, which bounds memory: 11 MB per image of 37 x 37 patches."""
SMALLEST_SCALE = 1e-6


class PatchMemory(KeepsPrecision):
    """Descriptors of the patches of good images, the references.

    A patch that resembles none of them is anomalous. Its distance d becomes the probability d² / (d² + scale²), where
    ``scale`` is the distance that good images have: that of the references to each other. An image's distance is the
    mean over the 5 % of its patches that are farthest away. This probability and that of the prompts are averaged:

        (memory + weight * prompts) / (1 + weight)

    Prompts that call the references anomalous know little about this target, so ``weight`` is (1 - p)², where p is the
    mean score that the prompts give to the references.

    Args:
        bank: unit vectors of patches.
        owners: index of the reference that each of them belongs to.
        scale: distance of good images.
        prompt_weight: weight of the prompts in [0, 1].
    """

    bank: Tensor
    owners: Tensor
    scale: Tensor
    prompt_weight: Tensor

    def __init__(
        self,
        bank: Float[Tensor, "entries dim"],
        owners: Int[Tensor, " entries"],
        scale: float = 1.0,
        prompt_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("bank", bank)
        self.register_buffer("owners", owners)
        self.register_buffer("scale", torch.tensor(max(scale, SMALLEST_SCALE)))
        self.register_buffer("prompt_weight", torch.tensor(prompt_weight))

    @classmethod
    def shaped_like(cls, tensors: dict[str, Tensor], prefix: str) -> "PatchMemory | None":
        """Make a memory that the tensors of another one can be loaded into; None if there is no other.

        Args:
            tensors: by name, with or without those of the rest of the model.
            prefix: of the other memory's names.
        """
        if f"{prefix}bank" not in tensors:
            return None
        return cls(torch.empty_like(tensors[f"{prefix}bank"]), torch.empty_like(tensors[f"{prefix}owners"]))

    def distances(self, descriptors: Float[Tensor, "batch patches dim"]) -> Float[Tensor, "batch patches"]:
        """Return the cosine distance of every patch to its nearest entry, in [0, 2]."""
        return nearest_distances(descriptors, self.bank)

    def distances_to_others(
        self, descriptors: Float[Tensor, "patches dim"], reference: int
    ) -> Float[Tensor, " patches"]:
        """Return the distances of a reference's patches, or a tile's, to the nearest entries of other references."""
        return nearest_distances(descriptors.unsqueeze(0), self.bank[self.owners != reference])[0]

    def probability(self, distances: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Turn distances into anomaly probabilities, 0.5 where a good image's distance lies."""
        squares = distances.square()
        return squares / (squares + self.scale.square())

    def mixed(self, memory: Float[Tensor, "*shape"], prompts: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the weighted mean of the probabilities of the memory and of the prompts."""
        return (memory + self.prompt_weight * prompts) / (1 + self.prompt_weight)

    def fuse(
        self,
        scores: Float[Tensor, " batch"],
        maps: Float[Tensor, "batch height width"],
        distances: Float[Tensor, "batch patches"],
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch height width"]]:
        """Join the prompts' scores and maps with those of the memory.

        Args:
            scores: by the prompts, in [0, 1].
            maps: by the prompts, in [0, 1].
            distances: of the patches to the memory.
        """
        score = self.mixed(self.probability(image_distance(distances)), scores)
        grid = to_grid(self.probability(distances)).unsqueeze(1)
        seen = gaussian_smooth(enlarge_smoothly(grid, maps.shape[-1], align_corners=False).squeeze(1), SIGMA)
        # The weights of the smoothing sum to one only up to rounding, so clamp.
        return score.clamp(0, 1), self.mixed(seen, maps).clamp(0, 1)


class FewShotModel(nn.Module):
    """Base of torch models that can compare images with a few good ones.

    Attributes:
        memory: memory of the references; None for zero-shot.
        tile_memory: memory of tiles of the references, which tiles are compared with; None without tiles.
    """

    clip: FrozenCLIP
    memory: PatchMemory | None
    tile_memory: PatchMemory | None

    def __init__(self) -> None:
        super().__init__()
        self.register_module("memory", None)
        self.register_module("tile_memory", None)

    @contextmanager
    def comparing_tiles(self) -> Iterator[None]:
        """Compare images with the memory of tiles during the block, as they are tiles."""
        whole, self.memory = self.memory, self.tile_memory
        try:
            yield
        finally:
            self.memory = whole

    def describe(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch patches dim"]:
        """Return the unit vectors of patches that the memory holds and is asked for."""
        return self.clip.image.describe(images)

    def predict(
        self,
        scores: Float[Tensor, " batch"],
        maps: Float[Tensor, "batch height width"],
        descriptors: Float[Tensor, "batch patches dim"] | None,
    ) -> InferenceBatch:
        """Return scores and maps as a prediction, joined with those of the memory if there is one.

        Args:
            scores: by the prompts alone.
            maps: by the prompts alone.
            descriptors: of the same images; needed with a memory.
        """
        if self.memory is not None:
            assert descriptors is not None, "encode() leaves descriptors out only without a memory"
            scores, maps = self.memory.fuse(scores, maps, self.memory.distances(descriptors))
        return InferenceBatch(pred_score=scores, anomaly_map=maps)


@in_full_precision
def nearest_distances(
    descriptors: Float[Tensor, "batch patches dim"], bank: Float[Tensor, "entries dim"]
) -> Float[Tensor, "batch patches"]:
    """Return the cosine distance of every unit vector to the nearest of a bank, exactly, some entries at a time."""
    nearest = [(descriptors @ part.mT).amax(dim=-1) for part in bank.split(CHUNK)]
    # Rounding can make the cosine of equal vectors larger than one.
    return (1 - torch.stack(nearest).amax(dim=0)).clamp(min=0)


def image_distance(distances: Float[Tensor, "*batch patches"]) -> Float[Tensor, "*batch"]:
    """Return the distance of an image: the mean of its patches' largest 5 %, at least one patch."""
    count = max(1, round(TOP_SHARE * distances.shape[-1]))
    return distances.topk(count, dim=-1).values.mean(dim=-1)
