"""Describe reference images, as a whole and in tiles, and make the memories that other images are compared with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from anomalib.data import ImageBatch
from torch import Tensor

from anomalib_cops.host.image_scores import load_image
from anomalib_cops.models.memory_building import BuiltMemory, build_memory, orientations
from anomalib_cops.models.patch_memory import PatchMemory
from anomalib_cops.tiles import Box, score_in_tiles


@dataclass(frozen=True)
class BuiltMemories:
    """Memories of the references, and what they say of the references themselves, each compared with the others.

    Attributes:
        whole: memory of whole images.
        tiles: memory of tiles; None if no reference was cut into tiles.
        scores: image score of every reference.
        peaks: largest value of every reference's anomaly map.
        suspicious: indices of references that are unlike all others.
    """

    whole: PatchMemory
    tiles: PatchMemory | None
    scores: list[float]
    peaks: list[float]
    suspicious: list[int]


@dataclass
class _Described:
    """Crops of one kind, whole images or tiles, of all references."""

    owners: list[int] = field(default_factory=list)
    descriptors: list[Tensor] = field(default_factory=list)
    mirrored: list[Tensor] = field(default_factory=list)
    scores: list[Tensor] = field(default_factory=list)
    maps: list[Tensor] = field(default_factory=list)

    def add(self, module: Any, owner: int, crops: list[Tensor], *, mirror: bool) -> None:
        """Describe crops (3 height width) of one reference, and score them by the prompts alone."""
        images = module.prepare(crops)
        turned = orientations(images, turned=module.reference_options.turn_references)
        self.owners += [owner] * len(crops)
        self.descriptors.append(torch.stack([module.model.describe(each) for each in turned], dim=1))
        if mirror:
            self.mirrored.append(module.model.describe(images.flip(-1)))
        prediction = module.model(images, **module.extra_inputs(ImageBatch(image=images)))
        self.scores.append(prediction.pred_score.flatten())
        self.maps.append(prediction.anomaly_map)

    def build(self, limit: int) -> BuiltMemory:
        """Build the memory of these crops."""
        descriptors, scores, maps = (torch.cat(parts) for parts in (self.descriptors, self.scores, self.maps))
        mirrored = torch.cat(self.mirrored) if self.mirrored else None
        return build_memory(descriptors, scores, maps, mirrored, limit, self.owners)


@torch.no_grad()
def build_memories(module: Any, paths: Sequence[str]) -> BuiltMemories:
    """Build the memories of references.

    Args:
        module: a Lightning module without references.
        paths: files, or addresses of synthetic pictures. If there is one only, its mirror image stands in for a second.
    """
    module.model.eval()
    whole, tiles = _Described(), _Described()
    sizes: list[tuple[int, int]] = []
    boxes: list[list[Box]] = []
    alone, batch, limit = len(paths) == 1, module.tile_options.tile_batch, module.reference_options.memory_limit
    for owner, path in enumerate(paths):
        image = load_image(path)
        sizes.append((image.shape[-2], image.shape[-1]))
        boxes.append(module.boxes(image))
        whole.add(module, owner, [image], mirror=alone)
        for first in range(0, len(boxes[-1]), batch):
            crops = [box.of(image) for box in boxes[-1][first : first + batch]]
            tiles.add(module, owner, crops, mirror=alone)
    built = whole.build(limit)
    built_tiles = tiles.build(limit) if tiles.owners else None
    results = [
        _joined(built, built_tiles, tiles.owners, owner, *each)
        for owner, each in enumerate(zip(sizes, boxes, strict=True))
    ]
    return BuiltMemories(
        whole=built.memory,
        tiles=built_tiles.memory if built_tiles else None,
        scores=[score for score, _ in results],
        peaks=[peak for _, peak in results],
        suspicious=sorted({*built.suspicious, *(built_tiles.suspicious if built_tiles else ())}),
    )


def _joined(
    whole: BuiltMemory,
    tiles: BuiltMemory | None,
    owners: list[int],
    owner: int,
    size: tuple[int, int],
    boxes: list[Box],
) -> tuple[float, float]:
    """Return score and peak of one reference, from those of its crops."""
    if tiles is None or not boxes:
        return float(whole.scores[owner]), float(whole.maps[owner].max())
    rows = [row for row, each in enumerate(owners) if each == owner]

    def run_whole(_: Any) -> Any:
        return [float(whole.scores[owner])], [whole.maps[owner].cpu().numpy()]

    def run_tiles(_: Any) -> Any:
        return tiles.scores[rows].tolist(), list(tiles.maps[rows].cpu().numpy())

    score, blended = score_in_tiles(torch.empty(3, *size), boxes, run_whole, run_tiles, len(boxes))
    return score, float(blended.max())
