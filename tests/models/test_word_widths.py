"""Test the methods that turn image features into words on towers whose words have another size than the features."""

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.encoder.load import build
from anomalib_cops.prompts.words import words_of_features
from anomalib_cops.registry import METHODS
from tests.models.cases import CONFIG, SIDE, lightning_class, make

DIM, WIDTH = 24, 48
MATRIX = "to_words.weight"
LEARNS_MATRIX: dict[str, list[dict[str, Any]]] = {
    "CoPS": [{}, {"states": "static"}, {"categories": "static"}],
    "VCPCLIP": [{}],
}
"""Settings with which features become words through a learned matrix."""
MATRICES = [(name, settings) for name, variants in LEARNS_MATRIX.items() for settings in variants]
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("AdaCLIP", {}),
    ("AnomalyCLIP", {}),
    ("CoPS", {"states": "static", "categories": "static"}),
    ("VCPCLIP", {"use_global": False}),
]
LABELS = torch.tensor([0.0, 1.0, 0.0])


@pytest.fixture(scope="module")
def wide() -> open_clip.CLIP:
    """Return a small CLIP whose words have twice the size of its features."""
    torch.manual_seed(0)
    return build({**CONFIG, "embed_dim": DIM})


def trained(model: Any) -> dict[str, Tensor]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("name", METHODS)
def test_towers_of_one_width_get_no_matrix(clip: open_clip.CLIP, name: str) -> None:
    model = make(name, clip)
    assert not any("to_words" in key for key in (*trained(model), *model.state_dict()))


@pytest.mark.parametrize(("name", "settings"), MATRICES)
def test_a_matrix_that_is_trained_bridges_two_widths(
    wide: open_clip.CLIP, images: Tensor, masks: Tensor, name: str, settings: dict[str, Any]
) -> None:
    model = make(name, wide, **settings)
    assert trained(model)[MATRIX].shape == (WIDTH, DIM)
    scores = model(images).pred_score
    model.train().loss(images, masks, LABELS)["loss"].backward()
    torch.optim.Adam(trained(model).values(), lr=0.1).step()
    idle = [key for key, p in trained(model).items() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not any("to_words" in key for key in idle)
    assert not torch.equal(model.eval()(images).pred_score, scores)


@pytest.mark.parametrize(("name", "settings"), OTHERS)
def test_no_matrix_where_no_feature_becomes_a_word_as_it_is(
    wide: open_clip.CLIP, images: Tensor, masks: Tensor, name: str, settings: dict[str, Any]
) -> None:
    model = make(name, wide, **settings)
    assert MATRIX not in trained(model)
    assert torch.isfinite(model(images).pred_score).all()
    model.train().loss(images, masks, LABELS)["loss"].backward()
    assert all(p.grad is not None for p in trained(model).values())


def test_dynamic_prompts_of_ada_clip_have_the_width_of_their_tower(wide: open_clip.CLIP) -> None:
    model = make("AdaCLIP", wide)
    assert model.text_prompts.static["1"].shape[1] == WIDTH
    assert model.text_generator.heads[0].weight.shape == (WIDTH, DIM)
    assert model.vision_generator.heads[0].weight.shape == (32, DIM)


@pytest.mark.parametrize("name", LEARNS_MATRIX)
def test_the_matrix_is_saved_and_loaded(
    wide: open_clip.CLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    plain = lightning_class(name)(backbone="tiny", visualizer=False)
    kept = load_file(plain.save_weights(tmp_path / "plain.safetensors"))
    monkeypatch.setattr("anomalib_cops.models.assembly.load_clip", lambda *_, **__: FrozenCLIP(wide, SIDE, name="tiny"))
    model = lightning_class(name)(backbone="tiny", visualizer=False)
    path = model.save_weights(tmp_path / "wide.safetensors")
    saved = load_file(path)
    assert set(saved) - set(kept) == {MATRIX} and set(kept) <= set(saved)
    again = lightning_class(name)(weights=str(path), visualizer=False)
    assert torch.equal(again.model.to_words.weight, model.model.to_words.weight)


def test_the_matrix_keeps_lengths_and_angles_at_first() -> None:
    features = torch.randn(5, DIM)
    words = words_of_features(DIM, WIDTH)(features)
    torch.testing.assert_close(words @ words.T, features @ features.T, atol=1e-4, rtol=1e-4)
    assert words_of_features(DIM, DIM)(features) is features
    narrow = words_of_features(WIDTH, DIM)(torch.randn(5, WIDTH))
    assert narrow.shape == (5, DIM)
