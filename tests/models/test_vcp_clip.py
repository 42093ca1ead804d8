"""Test VCP-CLIP's own parts; ``test_battery.py`` tests what all methods share."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import open_clip
import pytest
import torch
from torch import Tensor

from anomalib_cops import VCPCLIP, InputError
from anomalib_cops.models.vcp_clip.official import KEYS
from anomalib_cops.models.vcp_clip.settings import PRESETS, VCPCLIPSettings
from anomalib_cops.models.vcp_clip.torch_model import VCPCLIPModel, quarters
from tests.models import cases

LABELS = torch.tensor([0.0, 1.0, 0.0])


def make(clip: open_clip.CLIP, **settings: Any) -> VCPCLIPModel:
    model: VCPCLIPModel = cases.make("VCPCLIP", clip, **settings)
    return model


def text_of(model: VCPCLIPModel, images: Tensor) -> Tensor:
    return model.text_features(model.read_prompts(model.prompts(model.context(model.encode(images)))))


def test_deep_prompts_are_dropped_in_training_only(clip: open_clip.CLIP, images: Tensor, masks: Tensor) -> None:
    model = make(clip)
    first, second = (model.loss(images, masks, LABELS)["loss"] for _ in range(2))
    assert first == second
    model.train()
    first, second = (model.loss(images, masks, LABELS)["loss"] for _ in range(2))
    assert first != second
    model = make(clip, dropout=0.0).train()
    first, second = (model.loss(images, masks, LABELS)["loss"] for _ in range(2))
    assert first == second


def test_every_image_state_and_block_has_a_dropout_mask_of_its_own(clip: open_clip.CLIP) -> None:
    model = make(clip, dropout=0.5, deep_length=2).train()
    x = torch.zeros(6, 9, 48)
    assert model.deep is not None
    inserted = model.deep(x, 0)
    assert inserted.shape == (6, 11, 48)
    later = model.deep(inserted, 1)
    assert later.shape == (6, 11, 48)
    dropped = {tuple((prompt == 0).flatten().tolist()) for tokens in (inserted, later) for prompt in tokens[:, 1:3]}
    assert len(dropped) == 12


def test_deep_prompts_are_inserted_once_and_replaced_after(clip: open_clip.CLIP) -> None:
    deep = make(clip, deep_length=2).deep
    assert deep is not None
    x = torch.arange(5.0).reshape(1, 5, 1).expand(2, -1, 48)
    first = deep(x, 0)
    torch.testing.assert_close(first[1, 1:3], deep.project(deep.first))
    assert torch.equal(first[:, [0, 3, 4, 5, 6]], x)
    second = deep(first, 2)
    torch.testing.assert_close(second[0, 1:3], deep.project(deep.later[1]))
    assert torch.equal(second[:, [0, 3, 4, 5, 6]], x)


def test_text_features_of_a_batch_are_those_of_single_images_and_states(clip: open_clip.CLIP, images: Tensor) -> None:
    model = make(clip, deep_length=2, context_tokens=3)
    together = text_of(model, images)
    for index in range(3):
        tokens = model.encode(images[index : index + 1])
        prompts = model.prompts(model.context(tokens))
        for state in range(2):
            alone = model.text_features(model.read_prompts(prompts[:, state : state + 1]))
            torch.testing.assert_close(alone[0, 0], together[index, state], atol=1e-6, rtol=0)


def test_temperatures_learn_at_a_rate_of_their_own() -> None:
    model = VCPCLIP(backbone="tiny", preset="mvtec", temperature_rate=0.5)
    others, temperatures = model.configure_optimizers().param_groups
    assert (others["lr"], temperatures["lr"]) == (2e-5, 0.5)
    assert others["betas"] == temperatures["betas"] == (0.5, 0.999)
    assert [id(p) for p in temperatures["params"]] == [id(model.model.pre.log_scale), id(model.model.post.log_scale)]
    count = len(others["params"]) + len(temperatures["params"])
    assert count == len(model.trained_state())
    default = VCPCLIP(backbone="tiny").configure_optimizers().param_groups
    assert [group["lr"] for group in default] == [4e-5, 0.01]


def test_a_single_image_has_a_score(clip: open_clip.CLIP, images: Tensor) -> None:
    assert 0 < make(clip)(images[:1]).pred_score.item() < 1


def test_score_is_half_of_both_means_over_the_largest_pixels(clip: open_clip.CLIP) -> None:
    pre = torch.tensor([[[0.1, 0.9], [0.5, 0.2]]])
    post = torch.tensor([[[0.4, 0.4], [0.0, 0.8]]])
    assert make(clip, top_pixels=2).image_score(pre, post).item() == pytest.approx((0.7 + 0.6) / 2)
    assert make(clip).image_score(pre, post).item() == pytest.approx((0.425 + 0.4) / 2)


def test_extremes_of_the_batch_are_an_option(clip: open_clip.CLIP, images: Tensor) -> None:
    plain, model = make(clip)(images), make(clip, min_max_over="batch")
    result = model(images)
    for values, before in ((result.pred_score, plain.pred_score), (result.anomaly_map, plain.anomaly_map)):
        torch.testing.assert_close(values, (before - before.min()) / (before.max() - before.min()), atol=1e-5, rtol=0)
    alone = model(images[:1])
    assert alone.pred_score.item() == 0
    assert torch.isfinite(alone.anomaly_map).all()


def test_without_the_global_feature_all_images_share_the_text(clip: open_clip.CLIP, images: Tensor) -> None:
    own, shared = text_of(make(clip), images), text_of(make(clip, use_global=False), images)
    assert not torch.allclose(own[0], own[1], atol=1e-4)
    torch.testing.assert_close(shared[0], shared[1])


def test_without_deep_prompts_nothing_of_them_is_left(clip: open_clip.CLIP, images: Tensor, masks: Tensor) -> None:
    model = make(clip, deep_length=0)
    assert not any(name.startswith("deep") for name, _ in model.named_parameters())
    prompts = model.prompts(model.context(model.encode(images)))
    plain = model.clip.text.encode(prompts.flatten(0, 1), model.sentences.read_outs[0])
    expected = torch.nn.functional.normalize(plain, dim=-1).unflatten(0, (3, 2))
    torch.testing.assert_close(text_of(model, images), expected, atol=1e-6, rtol=0)
    assert torch.isfinite(model.loss(images, masks, LABELS)["loss"])


def test_zero_norm_tokens_are_finite(clip: open_clip.CLIP, images: Tensor, masks: Tensor) -> None:
    model = make(clip)
    with torch.no_grad():
        for layer in (*model.pre.project, model.post.out):
            layer.weight.zero_()
            layer.bias.zero_()
    result = model(images)
    assert torch.isfinite(result.pred_score).all() and torch.isfinite(result.anomaly_map).all()
    model.loss(images, masks, LABELS)["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_one_image_learns_from_whole_images_not_from_rows(clip: open_clip.CLIP, images: Tensor, masks: Tensor) -> None:
    model = make(clip)
    each = [model.loss(images[i : i + 1], masks[i : i + 1], LABELS[i : i + 1])["post_dice"] for i in range(3)]
    together = model.loss(images, masks, LABELS)["post_dice"]
    torch.testing.assert_close(torch.stack(each).mean(), together)


def test_losses_are_those_of_float32_under_autocast(clip: open_clip.CLIP, images: Tensor, masks: Tensor) -> None:
    model = make(clip)
    exact = model.loss(images, masks, LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model.loss(images, masks, LABELS)
    for name, value in rounded.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, exact[name], atol=0.05, rtol=0.05)
    rounded["loss"].backward()


def test_the_image_tower_has_no_graph(clip: open_clip.CLIP, images: Tensor) -> None:
    tokens = make(clip).encode(images.requires_grad_())
    assert not tokens.cls.requires_grad and not tokens.patches.requires_grad


@pytest.fixture
def unchecked() -> Iterator[None]:
    """No checks of types, as users have it; they also take the symbolic sizes of a traced graph for wrong ones."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("unchecked")
def test_other_options_can_be_traced_too(clip: open_clip.CLIP, images: Tensor) -> None:
    model = make(clip, deep_length=0, use_global=False, min_max_over="batch")
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (images[:2],), dynamic_shapes={"images": {0: batch}})
    for count in (1, 3):
        expected, found = model(images[:count]), program.module()(images[:count])
        torch.testing.assert_close(found.pred_score, expected.pred_score, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.anomaly_map, expected.anomaly_map, atol=1e-5, rtol=0)


def official(model: VCPCLIP) -> dict[str, Any]:
    """Return the checkpoint that the official code would save: nested groups, weights of 1×1 convolutions."""
    content: dict[str, Any] = {"trainable_linearlayer": {}, "New_Lan_Embed": {}, "Zero_try": {}}
    for ours, value in model.trained_state().items():
        (name,) = KEYS.names(ours)
        if name in ("prompt_embeddings", "New_Lan_Embed.prompt_query"):
            value = value.unsqueeze(0)
        elif name.startswith("Zero_try.") and value.ndim == 2:
            value = value.unsqueeze(-1)
        group, _, rest = name.partition(".")
        if group in content:
            content[group][rest] = value
        else:
            content[name] = value
    return {**content, "prompt_text_projection": torch.zeros(192, 192)}


def test_official_checkpoints_load_and_every_key_counts(tmp_path: Path) -> None:
    model, path = VCPCLIP(backbone="tiny"), tmp_path / "epoch_10.pth"
    content = official(model)
    assert sum(len(value) if isinstance(value, dict) else 1 for value in content.values()) == 28
    torch.save(content, path)
    restored = VCPCLIP(backbone="tiny", weights=str(path))
    assert restored.has_trained_weights
    for name, value in model.trained_state().items():
        assert torch.equal(value, restored.trained_state()[name]), name
    general = VCPCLIP(backbone="tiny", weights=str(path), use_global=False)
    assert torch.equal(general.model.pre.query, model.model.pre.query)
    torch.save({**content, "extra": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="unknown: extra"):
        VCPCLIP(backbone="tiny", weights=str(path))
    torch.save({name: value for name, value in content.items() if name != "prompt_text_projection"}, path)
    with pytest.raises(InputError, match="missing: prompt_text_projection"):
        VCPCLIP(backbone="tiny", weights=str(path))


def test_the_activation_is_the_official_one_and_is_kept_in_weight_files(tmp_path: Path) -> None:
    def activation(model: VCPCLIP) -> str:
        return type(model.clip.model.visual.transformer.resblocks[0].mlp.gelu).__name__

    assert activation(VCPCLIP(backbone="tiny")) == "GELU"
    path = VCPCLIP(backbone="tiny", quick_gelu=True).save_weights(tmp_path / "w.safetensors")
    assert activation(VCPCLIP(weights=str(path))) == "QuickGELU"


def test_layers_end_the_quarters_of_the_tower() -> None:
    assert quarters(24) == (6, 12, 18, 24)
    assert quarters(12) == (3, 6, 9, 12)
    assert [quarters(depth)[-1] for depth in range(1, 9)] == list(range(1, 9))
    assert quarters(3) == (1, 2, 3)


def test_presets_differ_in_the_learning_rate() -> None:
    assert [PRESETS[name]["learning_rate"] for name in ("default", "visa", "mvtec")] == [4e-5, 4e-5, 2e-5]
    assert {preset["epochs"] for preset in PRESETS.values()} == {10}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 1.2}, r"alpha=1.2 must be in \[0, 1\]"),
        ({"context_tokens": 0}, "context_tokens=0 must be at least 1"),
        ({"deep_length": -1}, "deep_length=-1 must be at least 0"),
        ({"dropout": 1.0}, "dropout=1.0 must be at least 0 and below 1"),
        ({"layers": (3, 2)}, "must be ascending"),
        ({"top_pixels": 0}, "top_pixels=0 must be at least 1"),
        ({"min_max_over": "set"}, "min_max_over=set must be 'none' or 'batch'"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        VCPCLIPSettings(**settings)


def test_what_does_not_fit_the_encoder_is_refused(clip: open_clip.CLIP) -> None:
    for settings, message in (
        ({"heads": 5}, "heads=5 must divide the 32 channels"),
        ({"layers": (2, 5)}, r"layers=\[2, 5\] do not fit the 4 vision blocks"),
        ({"context_tokens": 70, "deep_length": 2}, "are 2 more than fit the text encoder's 77 tokens"),
        ({"context_tokens": 200}, "more than fit the text encoder's 77 tokens"),
    ):
        with pytest.raises(InputError, match=message):
            make(clip, **settings)
    with pytest.raises(InputError, match="temperature_rate=-1.0 must be at least 0"):
        VCPCLIP(backbone="tiny", temperature_rate=-1.0)
