"""AdaCLIP's text: made once where it can be, and shared where prompts change nothing."""

from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor

from anomalib_cops.encoder import TextTower
from anomalib_cops.models.ada_clip.torch_model import AdaCLIPModel
from tests.models.cases import make

NAMES = ["metal_nut", "pipe fryum", "x"]


def counted(model: AdaCLIPModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []
    original = TextTower.encode

    def encode(tower: TextTower, embeddings: Tensor, *others: Any, **named: Any) -> Tensor:
        sizes.append(embeddings.shape[0])
        return original(tower, embeddings, *others, **named)

    monkeypatch.setattr(TextTower, "encode", encode)
    return sizes


@pytest.mark.parametrize("settings", [{"branch": "V"}, {"prompts": "S"}, {"branch": "", "prompts": ""}])
def test_text_that_does_not_depend_on_the_image_is_made_once_per_class_and_weights(
    clip: open_clip.CLIP, images: Tensor, masks: Tensor, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    model = make("AdaCLIP", clip, **settings)
    sizes = counted(model, monkeypatch)
    with torch.inference_mode():
        first = model(images, ["nut", "bolt", "nut"]).pred_score
        model(images[:1], ["bolt"])
    assert sizes == [48, 48]
    model.train().loss(images, masks, torch.zeros(3), ["nut", "bolt", "nut"])["loss"].backward()
    prompts = model.text_prompts
    if prompts is None:
        assert len(sizes) == 2
        return
    with torch.no_grad():
        prompts.static["1"].mul_(-1)
    changed = model.eval()(images, ["nut", "bolt", "nut"]).pred_score
    assert not torch.allclose(changed, first, atol=1e-4)
    model.load_state_dict({"text_prompts.static.1": -prompts.static["1"]}, strict=False)
    torch.testing.assert_close(model(images, ["nut", "bolt", "nut"]).pred_score, first, atol=1e-4, rtol=0)
    assert not any(each.value.requires_grad for each in model.text._cached.values())


def test_dynamic_text_is_made_for_every_image_in_one_run(
    clip: open_clip.CLIP, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make("AdaCLIP", clip)
    sizes = counted(model, monkeypatch)
    model(images, NAMES)
    model(images)
    assert sizes == [3 * 48] * 2


@pytest.mark.parametrize("names", [NAMES, NAMES[:1]])
@pytest.mark.parametrize("settings", [{}, {"prompts": "D"}, {"prompts": "S"}, {"depth": 1}, {"depth": 2, "length": 7}])
def test_what_prompts_cannot_change_is_shared(
    clip: open_clip.CLIP, images: Tensor, settings: dict[str, Any], names: list[str]
) -> None:
    model = make("AdaCLIP", clip, **settings)
    with torch.no_grad():
        _, dynamic = model.dynamic_prompts(images)
        shared = model.text.sentence_features(names, dynamic)
    whole = model.text.sentence_features(names, dynamic)
    assert whole.requires_grad == (settings.get("depth") != 1 and settings.get("prompts") != "D")
    torch.testing.assert_close(shared, whole, atol=1e-5, rtol=1e-5)
