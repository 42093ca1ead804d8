"""Train, test, save, reload and export every method on towers of other families, loaded from a local folder."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from anomalib_cops.errors import InputError
from tests.models.cases import CASES, lightning_class
from tests.models.runs import engine, transfer
from tests.towers.exports import exports_of
from tests.towers.listed import list_small_tower

GRID = 5
FAMILIES = (
    "ViT-L-14-worldwide",
    "EVA02-B-16",
    "ViT-gopt-16-SigLIP2-256",
    "PE-Core-L-14-336",
    "ViT-L-14-CLIPA",
    "MobileCLIP2-L-14",
)


def few() -> Any:
    """Draw four pictures to train on and four to test on."""
    return transfer(source_categories=["leather"], synthetic_samples=4)


@pytest.mark.parametrize(
    ("family", "name"),
    [*itertools.product(FAMILIES, sorted(CASES)), ("vit_small_plus_patch16_dinov3", "LinearProbe")],
)
def test_a_method_lives_on_a_tower(family: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "tower"
    tower = list_small_tower(family, folder, monkeypatch)
    size = GRID * tower.patch
    # No tag of MetaCLIP 2's smaller towers says which activation they have.
    made = {"visualizer": False, "quick_gelu": False, **CASES[name].exportable}
    model = lightning_class(name)(backbone=family, pretrained=str(folder), image_size=size, seed=0, epochs=1, **made)
    before = {key: value.clone() for key, value in model.trained_state().items()}
    run = engine(tmp_path / "run", max_epochs=1)
    run.train(model, datamodule=few())
    after = model.trained_state()
    assert all(torch.isfinite(value).all() for value in after.values())
    assert any(not torch.equal(value, before[key]) for key, value in after.items())
    weights = str(model.save_weights(tmp_path / "w.safetensors"))
    checkpoint = run.best_model_path

    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(7))
    expected = model.eval()(images)
    for source in (weights, checkpoint):
        again = lightning_class(name)(weights=source, **made).eval()
        assert again.clip.identity == model.clip.identity
        assert torch.equal(again(images).pred_score, expected.pred_score)
    with pytest.raises(InputError, match="was trained|were trained"):
        lightning_class(name)(weights=weights, backbone="tiny", **made)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("ViT-L-14-worldwide", "AnomalyCLIP"),
        ("EVA02-B-16", "CoPS"),
        ("ViT-gopt-16-SigLIP2-256", "CoPS"),
        ("PE-Core-L-14-336", "VCPCLIP"),
        ("MobileCLIP2-L-14", "AdaCLIP"),
        ("vit_small_plus_patch16_dinov3", "LinearProbe"),
    ],
)
def test_an_exported_graph_computes_the_same(
    family: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # python -m tests.towers BACKBONE --export does this with every method, half a minute each.
    found = list(exports_of(name, family, tmp_path, monkeypatch))
    assert len(found) == 2
    assert not [str(each) for each in found if not each.holds]


def test_a_tower_of_another_family_is_refused_with_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for family in ("ViT-L-14-CLIPA", "PE-Core-L-14-336"):
        list_small_tower(family, tmp_path / family, monkeypatch)
    made = {"backbone": "ViT-L-14-CLIPA", "pretrained": str(tmp_path / "ViT-L-14-CLIPA"), "visualizer": False}
    cops = lightning_class("CoPS")
    weights = str(cops(**made).save_weights(tmp_path / "w.safetensors"))
    other = {"backbone": "PE-Core-L-14-336", "pretrained": str(tmp_path / "PE-Core-L-14-336")}
    with pytest.raises(InputError, match="ViT-L-14-CLIPA.*PE-Core-L-14-336"):
        cops(weights=weights, **other)
