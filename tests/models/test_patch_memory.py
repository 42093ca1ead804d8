"""Test the memory of patches on numbers that can be computed by hand."""

import pytest
import torch
from torch.nn import functional as F

from anomalib_cops.models import memory_building, patch_memory
from anomalib_cops.models.memory_building import build_memory, core_set, orientations, suspicious
from anomalib_cops.models.patch_memory import PatchMemory, image_distance, nearest_distances


def units(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_distances_are_exact_whatever_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, bank = units(2, 9, 8), units(50, 8, seed=1)
    expected = (1 - torch.cdist(queries.double(), bank.double()[None]).square().mul(-0.5).add(1)).amin(dim=-1)
    for chunk in (1, 7, 50, 2048):
        monkeypatch.setattr(patch_memory, "CHUNK", chunk)
        torch.testing.assert_close(nearest_distances(queries, bank).double(), expected, atol=1e-6, rtol=0)
    assert (nearest_distances(bank[None], bank) < 1e-6).all()


def test_the_distance_of_an_image_is_that_of_its_farthest_patches() -> None:
    distances = torch.arange(100.0).flip(0).unsqueeze(0)
    assert image_distance(distances).item() == (99 + 98 + 97 + 96 + 95) / 5
    assert image_distance(torch.tensor([0.1, 0.7])).item() == pytest.approx(0.7), "at least one patch"


def test_prompts_count_less_the_higher_they_score_the_references() -> None:
    memory = PatchMemory(units(4, 8), torch.arange(4), scale=0.2, prompt_weight=0.25)
    assert memory.probability(torch.tensor(0.2)).item() == pytest.approx(0.5)
    fused, maps = memory.fuse(torch.tensor([0.9]), torch.full((1, 6, 6), 0.9), torch.full((1, 9), 0.2))
    assert fused.item() == pytest.approx((0.5 + 0.25 * 0.9) / 1.25)
    torch.testing.assert_close(maps, torch.full((1, 6, 6), (0.5 + 0.25 * 0.9) / 1.25))
    descriptors = units(3, 1, 9, 8, seed=3)
    for score, weight in ((0.0, 1.0), (0.5, 0.25), (1.0, 0.0)):
        built = build_memory(descriptors, torch.full((3,), score), torch.zeros(3, 6, 6), None, limit=100)
        assert built.memory.prompt_weight.item() == pytest.approx(weight)


def test_a_reference_is_compared_with_the_others_only() -> None:
    descriptors = units(3, 1, 9, 8)
    built = build_memory(descriptors, torch.ones(3), torch.zeros(3, 6, 6), None, limit=100)
    assert built.memory.distances(descriptors[:, 0]).max() < 1e-6
    assert (built.scores > 0.1).all(), "not zero, as if a reference had found itself"
    others = torch.cat([descriptors[0, 0], descriptors[1, 0]])
    expected = nearest_distances(descriptors[2], others)[0]
    torch.testing.assert_close(built.memory.distances_to_others(descriptors[2, 0], 2), expected)


def test_the_mirror_image_stands_in_for_a_second_reference() -> None:
    one, mirrored = units(1, 1, 9, 8), units(1, 9, 8, seed=1)
    built = build_memory(one, torch.ones(1), torch.zeros(1, 6, 6), mirrored, limit=100)
    expected = nearest_distances(mirrored, one[0, 0]).max().item()
    assert built.memory.scale.item() == pytest.approx(expected)
    turned = torch.stack([one[0, 0], mirrored[0]])[None]
    built = build_memory(turned, torch.ones(1), torch.zeros(1, 6, 6), mirrored, limit=100)
    assert built.memory.scale.item() == pytest.approx(expected), "not 0, although the memory holds the mirror image"


def test_a_core_set_keeps_what_is_far_apart_and_is_the_same_every_time() -> None:
    clusters = units(5, 8).repeat_interleave(40, dim=0)
    bank = F.normalize(clusters + 0.01 * units(200, 8, seed=2), dim=-1)
    kept = core_set(bank, 5)
    assert sorted((kept // 40).tolist()) == [0, 1, 2, 3, 4], "one of each cluster"
    assert torch.equal(kept, core_set(bank, 5))
    assert torch.equal(core_set(bank, 200), torch.arange(200))
    built = build_memory(bank[:196].view(4, 1, 49, 8), torch.ones(4), torch.zeros(4, 6, 6), None, limit=30)
    assert built.memory.bank.shape == (30, 8) and set(built.memory.owners.tolist()) <= {0, 1, 2, 3}


@pytest.mark.parametrize("candidates", [1, 7, 256])
def test_a_core_set_is_that_of_taking_one_entry_after_the_other(
    candidates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_building, "CANDIDATES", candidates)
    bank = units(80, 8)
    distances, expected = 1 - bank @ bank[0], [0]
    while len(expected) < 40:
        expected.append(int(distances.argmax()))
        distances = torch.minimum(distances, 1 - bank @ bank[expected[-1]])
    assert core_set(bank, 40).tolist() == sorted(expected)
    assert core_set(bank.repeat(3, 1), 239).unique().numel() == 239, "also where entries are equal"


def test_one_unlike_reference_among_several_is_suspicious() -> None:
    farthest = torch.full((5,), 0.1)
    assert suspicious(farthest) == []
    farthest[3] = 0.25
    assert suspicious(farthest) == [3]
    assert suspicious(farthest[2:]) == [], "three are too few to tell"


def test_turned_references_have_eight_orientations() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3).expand(1, 3, 3, 3)
    assert len(orientations(image, turned=False)) == 1
    turned = orientations(image, turned=True)
    assert torch.equal(turned[0], image) and len({tuple(each.flatten().tolist()) for each in turned}) == 8


def test_a_half_precision_model_keeps_the_memory_in_full_precision() -> None:
    memory = PatchMemory(units(4, 8), torch.arange(4)).to(torch.bfloat16)
    assert memory.bank.dtype == torch.float32 and memory.owners.dtype == torch.int64
    assert memory.distances(units(1, 9, 8).bfloat16()).dtype == torch.float32
