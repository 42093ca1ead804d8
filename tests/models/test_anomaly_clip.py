"""Test AnomalyCLIP's own parts: prompts that are encoded once, layers, the start of the local path."""

from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor

from anomalib_cops import AnomalyCLIP, InputError
from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.encoder.load import build
from anomalib_cops.models.anomaly_clip.official import KEYS
from anomalib_cops.models.anomaly_clip.settings import AnomalyCLIPSettings
from anomalib_cops.models.anomaly_clip.torch_model import WORDS, AnomalyCLIPModel
from tests.models.cases import CONFIG, SIDE, make
from tests.support.prompt_tokens import template_ids


def test_prompts_are_the_official_sentences_around_learned_words(clip: open_clip.CLIP) -> None:
    model = make("AnomalyCLIP", clip)
    normal, anomalous = template_ids(model.clip, 12, WORDS).tolist()
    x, thing, damaged, stop = 343, 14115, 13568, 269
    assert normal[:17] == [49406, *[x] * 12, thing, stop, 49407, 0]
    assert anomalous[:17] == [49406, *[x] * 12, damaged, thing, stop, 49407]
    assert model.read_out == [15, 16]
    prompts = model.prompts()
    assert torch.equal(prompts[:, 1:13], model.context)
    assert torch.equal(prompts[1, 13], model.clip.text.embed(torch.tensor([[damaged]]))[0, 0])


@pytest.fixture
def counted(clip: open_clip.CLIP, monkeypatch: pytest.MonkeyPatch) -> tuple[AnomalyCLIPModel, list[int]]:
    model = make("AnomalyCLIP", clip)
    calls: list[int] = []
    original = model.prompts

    def prompts() -> Tensor:
        calls.append(1)
        return original()

    monkeypatch.setattr(model, "prompts", prompts)
    return model, calls


def test_text_is_encoded_once_per_weights(counted: tuple[AnomalyCLIPModel, list[int]], images: Tensor) -> None:
    model, calls = counted
    for _ in range(3):
        model(images)
    with torch.inference_mode():
        model(images)
    assert not calls, "the features were ready when the model went into evaluation mode"
    with torch.no_grad():
        model.deep.tokens[0].add_(0.1)
    model(images)
    model(images)
    assert len(calls) == 1
    assert model.text_features().requires_grad is False
    labels, masks = torch.zeros(3), torch.zeros(3, SIDE, SIDE)
    model.loss(images, masks, labels)["loss"].backward()
    assert len(calls) == 2 and model.context.grad is not None


@pytest.mark.usefixtures("unchecked")
def test_a_traced_graph_holds_two_vectors_and_no_text_tower(clip: open_clip.CLIP, images: Tensor) -> None:
    model = make("AnomalyCLIP", clip)
    program = torch.export.export(model, (images,))
    used = {node.target for node in program.graph.nodes if node.op == "placeholder" and node.users}
    assert any("visual" in name for name in used)
    assert any("text_features" in name for name in used)
    assert not [name for name in used if "deep" in name or "context" in name or "token_embedding" in name]
    assert not [name for name in used if "model_transformer" in name], "blocks of the text tower"


@pytest.mark.parametrize(("blocks", "start"), [(24, 6), (12, 1), (19, 1), (20, 2)])
def test_the_local_path_runs_through_the_last_nineteen_blocks(blocks: int, start: int) -> None:
    config = {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], "layers": blocks}}
    model = AnomalyCLIPModel(FrozenCLIP(build(config), SIDE))
    assert (model.local_start, model.layers) == (start, (blocks,))


def test_several_layers_are_averaged(clip: open_clip.CLIP, images: Tensor) -> None:
    several = make("AnomalyCLIP", clip, layers=(2, 4), sigma=0.0)
    parts = [make("AnomalyCLIP", clip, layers=(layer,), sigma=0.0)(images).anomaly_map for layer in (2, 4)]
    torch.testing.assert_close(several(images).anomaly_map, torch.stack(parts).mean(dim=0))


def test_layers_before_the_local_path_are_the_ordinary_ones(clip: open_clip.CLIP, images: Tensor) -> None:
    model = make("AnomalyCLIP", clip, layers=(1, 4), local_start=3)
    ordinary = model.clip.image.encode(images, layers=[1, 4])
    found = model.encode(images).patches
    assert torch.equal(found[0], ordinary.patches[0])
    assert not torch.allclose(found[1], ordinary.patches[1], atol=1e-3)


def test_trained_as_officially() -> None:
    model = AnomalyCLIP(backbone="tiny")
    optimizer = model.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam) and model.epochs == 15
    (group,) = optimizer.param_groups
    assert (group["lr"], group["betas"], group["weight_decay"], group["eps"]) == (1e-3, (0.5, 0.999), 0, 1e-8)


def test_the_official_file_has_thirty_two_tensors() -> None:
    ours = {"context": torch.zeros(2, 12, 768), **{f"deep.tokens.{i}": torch.zeros(4, 768) for i in range(8)}}
    shapes = KEYS.unused(ours)
    assert len(shapes) + sum(len(KEYS.names(name)) for name in ours) == 32
    assert shapes["token_suffix_neg"] == (1, 1, 64, 768)
    assert shapes["compound_prompt_projections.7.weight"] == (896, 768)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context_tokens": 0}, "context_tokens=0 must be at least 1"),
        ({"deep_length": 13}, "deep_length=13 must be between 0 and context_tokens"),
        ({"layers": (4, 2)}, r"layers=\(4, 2\) must be ascending"),
        ({"local_start": -1}, "local_start=-1 must be at least 1"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        AnomalyCLIPSettings(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": (5,)}, r"layers=\[5\] with local_start=1 do not fit the 4 vision blocks of 'small'"),
        ({"local_start": 5}, "local_start=5 do not fit the 4 vision blocks"),
        ({"deep_depth": 10}, "deep_depth=10 does not fit the 10 text blocks of 'small'; use at most 9"),
        ({"context_tokens": 75}, "does not fit the text encoder's 77 tokens"),
    ],
)
def test_what_the_encoder_cannot_carry_is_refused(clip: open_clip.CLIP, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make("AnomalyCLIP", clip, **settings)
