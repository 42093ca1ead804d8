"""Build the memory of reference images, and compare the references with each other."""

from dataclasses import dataclass

import torch
from anomalib.models.components import KCenterGreedy
from anomalib.models.components.dimensionality_reduction import SparseRandomProjection
from jaxtyping import Float
from torch import Tensor

from anomalib_cops.models.patch_memory import SMALLEST_SCALE, PatchMemory, image_distance

SUSPICIOUS = 2.0
"""A reference with a patch this many times farther from the others than usual is likely to be defective."""
ENOUGH_TO_COMPARE = 4


@dataclass(frozen=True)
class BuiltMemory:
    """A memory and what it says of its own references, each compared with the others only.

    Attributes:
        memory: the memory.
        scores: image score of every reference.
        peaks: largest value of every reference's anomaly map.
        suspicious: indices of references that are unlike all others.
    """

    memory: PatchMemory
    scores: Float[Tensor, " references"]
    peaks: Float[Tensor, " references"]
    suspicious: list[int]


@torch.no_grad()
def build_memory(
    descriptors: Float[Tensor, "references variants patches dim"],
    scores: Float[Tensor, " references"],
    maps: Float[Tensor, "references height width"],
    mirrored: Float[Tensor, "patches dim"] | None,
    limit: int,
) -> BuiltMemory:
    """Build a memory of references.

    Args:
        descriptors: of every reference's patches, in all orientations that are to be kept; the image itself is first.
        scores: of the references by the prompts alone.
        maps: of the references by the prompts alone.
        mirrored: descriptors of the mirror image of a single reference, which stands in for a second one.
        limit: largest number of entries; a core-set of that size is kept of more.
    """
    references, variants, patches, dim = descriptors.shape
    owners = torch.arange(references, device=descriptors.device).repeat_interleave(variants * patches)
    bank = descriptors.reshape(-1, dim)
    kept = core_set(bank, limit)
    memory = PatchMemory(bank[kept].contiguous(), owners[kept])
    if mirrored is not None:
        distances = memory.distances(mirrored.unsqueeze(0))
    else:
        distances = torch.stack([memory.distances_to_others(descriptors[i, 0], i) for i in range(references)])
    images = image_distance(distances)
    memory.scale.fill_(images.mean()).clamp_(min=SMALLEST_SCALE)
    memory.prompt_weight.fill_((1 - scores.float().mean()) ** 2)
    fused_scores, fused_maps = memory.fuse(scores, maps, distances)
    return BuiltMemory(memory, fused_scores, fused_maps.flatten(1).amax(dim=1), suspicious(distances))


def suspicious(distances: Float[Tensor, "references patches"]) -> list[int]:
    """Return the references that have a patch much farther from the other references than theirs usually are.

    A defect of one image among four or more good ones resembles none of them. Where several are defective in the same
    way, they resemble each other, and nothing is found.

    Args:
        distances: of every reference's patches to the other references.
    """
    if len(distances) < ENOUGH_TO_COMPARE:
        return []
    farthest = distances.amax(dim=1)
    return (farthest > SUSPICIOUS * farthest.median()).nonzero().flatten().tolist()


def core_set(bank: Float[Tensor, "entries dim"], limit: int) -> Tensor:
    """Return the indices of the entries that are kept: all, or a greedy core-set of ``limit`` in ascending order.

    The greedy core-set (Sener and Savarese 2018, as in PatchCore) takes the entry farthest from those already taken,
    in a random projection that is always the same.
    """
    if len(bank) <= limit:
        return torch.arange(len(bank), device=bank.device)
    # Half an entry more, so that rounding does not lose the last one.
    sampler = KCenterGreedy(bank, sampling_ratio=(limit + 0.5) / len(bank))
    sampler.model = SparseRandomProjection(eps=0.9, random_state=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        chosen = sampler.select_coreset_idxs()
    return torch.tensor(sorted(chosen), device=bank.device)


def orientations(images: Float[Tensor, "batch 3 height width"], *, turned: bool) -> list[Tensor]:
    """Return the images as they are, and with ``turned`` also in the seven other orientations of a square."""
    if not turned:
        return [images]
    return [torch.rot90(each, turns, (-2, -1)) for each in (images, images.flip(-1)) for turns in range(4)]
