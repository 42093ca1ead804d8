"""Build the memory of reference images, and compare the references with each other."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from anomalib_cops.models.patch_memory import SMALLEST_SCALE, PatchMemory, image_distance, nearest_distances

SUSPICIOUS = 2.0
"""A reference with a patch this many times farther from the others than usual is likely to be defective."""
ENOUGH_TO_COMPARE = 4
CANDIDATES = 256
TAKEN = -1.0
"""Distance of an entry that was taken, below all others."""


@dataclass(frozen=True)
class BuiltMemory:
    """A memory and what it says of its own references, each compared with the others only.

    Attributes:
        memory: the memory.
        scores: score of every image.
        maps: anomaly map of every image.
        suspicious: indices of references that are unlike all others.
    """

    memory: PatchMemory
    scores: Float[Tensor, " images"]
    maps: Float[Tensor, "images height width"]
    suspicious: list[int]


@torch.no_grad()
def build_memory(
    descriptors: Float[Tensor, "images variants patches dim"],
    scores: Float[Tensor, " images"],
    maps: Float[Tensor, "images height width"],
    mirrored: Float[Tensor, "images patches dim"] | None,
    limit: int,
    owners: Sequence[int] | None = None,
) -> BuiltMemory:
    """Build a memory of references.

    Args:
        descriptors: of every image's patches, in all orientations that are to be kept; the image itself is first.
        scores: of the images by the prompts alone.
        maps: of the images by the prompts alone.
        mirrored: descriptors of the mirror images of a single reference, which stands in for a second one.
        limit: largest number of entries; a core-set of that size is kept of more.
        owners: index of the reference that each image is a tile of; by default every image is a reference.
    """
    images, variants, patches, dim = descriptors.shape
    references = list(range(images)) if owners is None else list(owners)
    of_entries = torch.tensor(references, device=descriptors.device).repeat_interleave(variants * patches)
    bank = descriptors.reshape(-1, dim)
    kept = core_set(bank, limit)
    memory = PatchMemory(bank[kept].contiguous(), of_entries[kept])
    if mirrored is not None:
        # Turned references contain the mirror image itself.
        distances = nearest_distances(mirrored, descriptors[:, 0].flatten(0, 1))
    else:
        distances = torch.stack([memory.distances_to_others(descriptors[i, 0], of) for i, of in enumerate(references)])
    memory.scale.fill_(image_distance(distances).mean()).clamp_(min=SMALLEST_SCALE)
    memory.prompt_weight.fill_((1 - scores.float().mean()) ** 2)
    fused_scores, fused_maps = memory.fuse(scores, maps, distances)
    distinct, places = torch.tensor(references, device=distances.device).unique(return_inverse=True)
    farthest = distances.new_zeros(len(distinct)).scatter_reduce(0, places, distances.amax(dim=1), "amax")
    return BuiltMemory(memory, fused_scores, fused_maps, distinct[suspicious(farthest)].tolist())


def suspicious(farthest: Float[Tensor, " references"]) -> list[int]:
    """Return the references that have a patch much farther from the other references than theirs usually are.

    A defect of one image among four or more good ones resembles none of them. Where several are defective in the same
    way, they resemble each other, and nothing is found.

    Args:
        farthest: largest distance of a patch of each reference to the other references.
    """
    if len(farthest) < ENOUGH_TO_COMPARE:
        return []
    return (farthest > SUSPICIOUS * farthest.median()).nonzero().flatten().tolist()


def core_set(bank: Float[Tensor, "entries dim"], limit: int) -> Tensor:
    """Return the indices of the entries that are kept: all, or a greedy core-set of ``limit`` in ascending order.

    The greedy core-set (Sener and Savarese 2018, as in PatchCore) begins with the first entry and adds the one farthest
    from all that were taken, again and again. An entry's distance to those can only fall. So within the farthest few
    hundred, entries can be taken without looking at the others, until the best is nearer than the rest began. This
    takes the same entries as one by one, with a hundredth of the passes over the bank; anomalib's own ``KCenterGreedy``
    makes them all and takes minutes for 16 references of ViT-L.
    """
    if len(bank) <= limit:
        return torch.arange(len(bank), device=bank.device)
    distances, kept = nearest_distances(bank.unsqueeze(0), bank[:1])[0], [torch.zeros(1, dtype=torch.long)]
    distances[0] = TAKEN
    missing = limit - 1
    while missing > 0:
        far = distances.topk(min(CANDIDATES + 1, len(bank)))
        candidates, bound = far.indices[:-1], float(far.values[-1])
        taken = farthest_first(bank[candidates], far.values[:-1], bound, missing)
        new = candidates[taken]
        distances = torch.minimum(distances, nearest_distances(bank.unsqueeze(0), bank[new])[0])
        distances[new] = TAKEN
        kept.append(new.cpu())
        missing -= len(taken)
    return torch.cat(kept).sort().values.to(bank.device)


def farthest_first(
    candidates: Float[Tensor, "candidates dim"], distances: Float[Tensor, " candidates"], bound: float, limit: int
) -> list[int]:
    """Return the candidates that a greedy core-set takes next, in its order.

    Args:
        candidates: the entries farthest from those that were taken.
        distances: their distances to those.
        bound: distance that no other entry exceeds.
        limit: largest number to take, at least one.
    """
    between = 1 - candidates @ candidates.mT
    distances = distances.clone()
    taken: list[int] = []
    while len(taken) < limit:
        farthest = int(distances.argmax())
        if taken and distances[farthest] < bound:
            break
        taken.append(farthest)
        distances = torch.minimum(distances, between[farthest])
        distances[farthest] = TAKEN
        if len(taken) == len(candidates):
            break
    return taken


def orientations(images: Float[Tensor, "batch 3 height width"], *, turned: bool) -> list[Tensor]:
    """Return the images as they are, and with ``turned`` also in the seven other orientations of a square."""
    if not turned:
        return [images]
    return [torch.rot90(each, turns, (-2, -1)) for each in (images, images.flip(-1)) for turns in range(4)]
