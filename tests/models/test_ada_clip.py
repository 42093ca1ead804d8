"""Test AdaCLIP's own parts: branches and prompts, clusters, class names, cached text, checkpoints."""

from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor

from anomalib_cops import InputError
from anomalib_cops.encoder.open_clip_block import OpenClipBlock
from anomalib_cops.models.ada_clip import fusion
from anomalib_cops.models.ada_clip.official import FIRST_TEXT_PROMPT, KEYS
from anomalib_cops.models.ada_clip.prompters import Prompts
from anomalib_cops.models.ada_clip.sentences import N_NORMAL, sentences
from anomalib_cops.models.ada_clip.settings import AdaCLIPSettings, four_layers
from anomalib_cops.weights.official import from_official
from tests.models.cases import SIDE, make

NAMES = ["metal_nut", "pipe fryum", "x"]
TABLE = [("", kind) for kind in ("", "S", "D", "SD")] + [
    (branch, kind) for branch in ("V", "L", "VL") for kind in ("S", "D", "SD")
]


@pytest.mark.parametrize(("branch", "kind"), TABLE)
def test_every_cell_of_the_table_works_image_by_image_and_in_batches(
    clip: open_clip.CLIP, images: Tensor, masks: Tensor, branch: str, kind: str
) -> None:
    model = make("AdaCLIP", clip, branch=branch, prompts=kind)
    together = model(images, NAMES)
    assert together.anomaly_map.shape == (3, SIDE, SIDE)
    assert together.pred_score.min() >= 0 and together.pred_score.max() <= 1
    for index, name in enumerate(NAMES):
        alone = model(images[index : index + 1], [name])
        torch.testing.assert_close(alone.pred_score[0], together.pred_score[index], atol=2e-5, rtol=0)
        torch.testing.assert_close(alone.anomaly_map[0], together.anomaly_map[index], atol=2e-5, rtol=0)
    model.loss(images, masks, torch.tensor([0.0, 1.0, 0.0]), NAMES)["loss"].backward()
    idle = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad and p.grad is None}
    towers = {"V": "vision_generator", "L": "text_generator"}
    assert idle == {name for letter, name in towers.items() if "D" in kind and letter not in branch}


@pytest.mark.parametrize("branch", ["V", "L", "VL"])
def test_a_branch_without_prompts_is_refused(branch: Any) -> None:
    with pytest.raises(InputError, match=f"branch='{branch}' has no prompts to insert; set prompts to 'S', 'D' or"):
        AdaCLIPSettings(branch=branch, prompts="")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"branch": "LV"}, "branch='LV' must be 'V', 'L', 'VL' or empty"),
        ({"prompts": "DS"}, "prompts='DS' must be"),
        ({"depth": 0}, "depth=0 must be at least 1"),
        ({"depth": 5}, "depth=5 does not fit the 4 vision blocks of 'small'; use at most 4"),
        ({"depth": 11, "branch": "L"}, "depth=11 does not fit the 10 text blocks"),
        ({"length": 8}, "length=8 prompts overwrite the end of a sentence about 'object'; use at most 7"),
        ({"layers": (2, 5)}, r"layers=\[2, 5\] do not fit the 4 vision blocks"),
        ({"layers": (2, 1)}, "must be ascending"),
        ({"clusters": 26}, "clusters=26 are more than the 25 patches of a 40-pixel image; use at most 25, or fusion="),
        ({"sigma": -1.0}, "sigma=-1.0 must be at least 0"),
        ({"seed": -1}, "seed=-1 must be between"),
        ({"class_name": "long " * 80}, "use a shorter name"),
    ],
)
def test_what_does_not_fit_is_told_when_the_model_is_made(
    clip: open_clip.CLIP, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make("AdaCLIP", clip, **settings)


def test_more_prompts_than_a_sentence_has_words_for_are_fine_where_none_enter_the_text(clip: open_clip.CLIP) -> None:
    for settings in ({"branch": "V"}, {"depth": 1}):
        make("AdaCLIP", clip, length=20, **settings)


def test_four_evenly_spaced_layers_are_tapped() -> None:
    assert four_layers(24) == (6, 12, 18, 24) and four_layers(6) == (1, 2, 3, 4) and four_layers(3) == (1, 2, 3)


def test_prompts_follow_the_patches_and_are_renewed_up_to_their_depth(clip: open_clip.CLIP) -> None:
    prompts = Prompts(range(2), 3, 32, half=False)
    x, dynamic = torch.randn(2, 26, 32), torch.randn(2, 3, 32)
    entered = []

    def record(block: int, x: Tensor, dynamic: Tensor | None) -> Tensor:
        entered.append((block, x.shape[1]))
        return Prompts.context(prompts, block, x, dynamic)

    prompts.context = record  # type: ignore[method-assign]
    blocks = [OpenClipBlock(block) for block in clip.visual.transformer.resblocks]
    steps = [tokens for tokens, _ in prompts.walk(dynamic)(blocks, x, range(0))]
    assert [step.shape[1] for step in steps] == [29] * 4
    assert entered == [(0, 26), (1, 29)]
    torch.testing.assert_close(prompts.context(1, x, dynamic), prompts.static["1"] + dynamic)


@pytest.mark.parametrize("start", [0, 1])
def test_prompts_overwrite_words_from_the_second_text_block_on(start: int) -> None:
    prompts = Prompts(range(1, 3), 2, 48)
    x = torch.zeros(4, 9, 48)
    place = prompts.overwrite(None, start)
    assert torch.equal(place(x, 0), x) and torch.equal(place(x, 3), x)
    placed = place(x, 2)
    assert torch.equal(placed[1, start : start + 2], prompts.static["2"].half().float())
    assert not placed[:, :start].any() and not placed[:, start + 2 :].any()


def test_sentences_are_the_official_ones() -> None:
    found = sentences("pipe-fryum_1")
    assert len(found) == 48 and N_NORMAL == 28
    assert (
        found[0] == "a bad photo of a pipe fryum_1."
        and found[5] == "a low resolution photo of the flawless pipe fryum_1."
    )
    assert found[27] == "a cropped photo of the pipe fryum_1 without damage."
    assert found[28] == "a bad photo of a damaged pipe fryum_1."
    assert found[47] == "a cropped photo of the pipe fryum_1 with damage."


def test_clusters_count_the_same_whatever_their_size() -> None:
    chosen = torch.tensor([[[[4.0, 0.0], [0.0, 2.0], [0.0, 4.0]]], [[[2.0, 0.0], [0.0, 2.0], [0.0, 4.0]]]])
    centres = torch.tensor([[3.0, 0.0], [0.0, 3.0]])
    expected = torch.nn.functional.normalize(centres.mean(dim=0), dim=0)
    for labels in ([0, 1, 1], [4, 0, 0]):
        found = fusion.gather_clusters(chosen, torch.tensor([labels]))
        torch.testing.assert_close(found[0], expected)


def test_the_most_anomalous_patches_are_clustered_on_all_layers() -> None:
    probability = torch.tensor([[0.1, 0.9, 0.5, 0.7, 0.2, 0.8]])
    assert fusion.strongest(probability, 1).tolist() == [[1, 5, 3, 2, 4]]
    patches = torch.arange(12.0).reshape(2, 1, 6, 1)
    chosen = fusion.choose(patches, torch.tensor([[1, 5]]))
    assert chosen.flatten().tolist() == [1, 5, 7, 11]
    apart = torch.tensor([[[[0.0], [0.0], [1.0]]], [[[0.0], [9.0], [1.0]]]])
    labels = fusion.cluster(apart, 2, 0)[0].tolist()
    assert labels[0] == labels[2] != labels[1]


def test_equal_patches_and_broken_ones() -> None:
    same = torch.ones(2, 1, 10, 4)
    labels = fusion.cluster(same, 3, 0)
    torch.testing.assert_close(fusion.gather_clusters(same, labels), torch.full((1, 4), 0.5))
    same[0, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="features are NaN .* lower learning_rate"):
        fusion.cluster(same, 3, 0)


def test_clusters_start_from_the_seed_and_leave_numpys_stream_alone(clip: open_clip.CLIP, images: Tensor) -> None:
    model = make("AdaCLIP", clip, clusters=5)
    np.random.seed(1)
    first = model(images).pred_score
    assert np.random.get_state()[2] == np.random.RandomState(1).get_state()[2]  # type: ignore[index]
    np.random.seed(2)
    assert torch.equal(model(images).pred_score, first)
    others = [make("AdaCLIP", clip, clusters=5, seed=seed)(images).pred_score for seed in range(1, 6)]
    assert any(not torch.allclose(other, first, atol=1e-4) for other in others)


def test_the_official_stream_of_random_numbers_is_an_option(clip: open_clip.CLIP, images: Tensor) -> None:
    model = make("AdaCLIP", clip, clusters=5, clustering="stream")
    fixed = make("AdaCLIP", clip, clusters=5, seed=7)
    np.random.seed(7)
    first = model(images)
    runs = [model(images).pred_score for _ in range(5)]
    torch.testing.assert_close(first.pred_score[0], fixed(images).pred_score[0])
    assert any(not torch.allclose(run, first.pred_score, atol=1e-4) for run in runs)
    np.random.seed(7)
    assert torch.equal(model(images).pred_score, first.pred_score)


@pytest.mark.parametrize("branch", ["V", "L", "VL"])
def test_class_names_matter_and_come_from_the_call_the_settings_or_nowhere(
    clip: open_clip.CLIP, images: Tensor, branch: str
) -> None:
    model = make("AdaCLIP", clip, branch=branch)
    anything = model(images).pred_score
    torch.testing.assert_close(model(images, ["object"] * 3).pred_score, anything)
    nuts = model(images, ["metal-nut"] * 3).pred_score
    assert not torch.allclose(nuts, anything, atol=1e-4)
    torch.testing.assert_close(model(images, ["metal nut"] * 3).pred_score, nuts)
    named = make("AdaCLIP", clip, branch=branch, class_name="metal nut")
    torch.testing.assert_close(named(images).pred_score, nuts)
    with pytest.raises(InputError, match="2 class names for 3 images; give one per image"):
        model(images, ["a", "b"])
    with pytest.raises(InputError, match="use a shorter name for the product"):
        model(images, ["long " * 80] * 3)


def test_a_graph_with_clusters_is_refused_in_words(clip: open_clip.CLIP, images: Tensor) -> None:
    with pytest.raises(Exception, match="clusters patches by k-means, .* set fusion=False to export it"):
        torch.export.export(make("AdaCLIP", clip), (images,))


def test_rows_instead_of_images_in_the_dice_loss(clip: open_clip.CLIP) -> None:
    maps = torch.full((1, 2, 2, SIDE, SIDE), 0.5)
    masks = torch.zeros(2, SIDE, SIDE)
    masks[0, 0] = 1
    row = SIDE * 0.5 + 1
    found = make("AdaCLIP", clip, dice_over="row").map_losses(maps, masks)["dice_anomalous"]
    hit = 1 - (SIDE + 1) / (SIDE * 1.5 + 1)
    assert found.item() == pytest.approx((hit + (2 * SIDE - 1) * (1 - 1 / row)) / (2 * SIDE))
    whole = make("AdaCLIP", clip).map_losses(maps, masks)["dice_anomalous"]
    hit = 1 - (SIDE + 1) / (SIDE * SIDE / 2 + SIDE + 1)
    assert whole.item() == pytest.approx((hit + 1 - 1 / (SIDE * SIDE / 2 + 1)) / 2)


@pytest.mark.parametrize(("branch", "kind"), TABLE)
def test_official_checkpoints_of_every_configuration_fit_exactly(clip: open_clip.CLIP, branch: str, kind: str) -> None:
    model = make("AdaCLIP", clip, branch=branch, prompts=kind)
    prefix, shapes = "clip_model.", {}
    for tower, letter, width in (("visual", "V", 32), ("text", "L", 48)):
        if letter in branch and "S" in kind:
            shapes |= {f"{tower}_prompter.static_prompts.{block}": (5, width) for block in range(4)}
        if "D" in kind:
            shapes |= {f"dynamic_{tower}_prompt_generator.head.{j}.weight": (width, 48) for j in range(5)}
            shapes |= {f"dynamic_{tower}_prompt_generator.head.{j}.bias": (width,) for j in range(5)}
    for head, count, width in (("patch_token_layer", 4, 32), ("cls_token_layer", 1, 48)):
        shapes |= {f"{head}.head.{j}.weight": (48, width) for j in range(count)}
        shapes |= {f"{head}.head.{j}.bias": (48,) for j in range(count)}
    official = {prefix + name: torch.randn(shape) for name, shape in shapes.items()}
    expected = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    loaded = from_official(official, expected, KEYS, "official.pth")
    assert set(loaded) == set(expected)
    assert (FIRST_TEXT_PROMPT in official) == (FIRST_TEXT_PROMPT in KEYS.unused(expected))
    assert len(official) == len(expected) + len(KEYS.unused(expected))
    for name in list(official):
        with pytest.raises(InputError, match="missing"):
            from_official({k: v for k, v in official.items() if k != name}, expected, KEYS, "official.pth")
