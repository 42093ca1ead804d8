"""Train, test, save, reload and export every method on towers of other families, loaded from a local folder."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import pytest
import torch

from anomalib_cops.errors import InputError
from tests.models.cases import CASES, lightning_class
from tests.models.runs import engine, transfer
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


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("family", FAMILIES)
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
@pytest.mark.parametrize("family", ["EVA02-B-16", "ViT-gopt-16-SigLIP2-256"])
def test_an_exported_graph_computes_the_same(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "tower"
    # Few blocks, as each takes seconds to export.
    tower = list_small_tower(family, folder, monkeypatch, text_layers=2)
    size = GRID * tower.patch
    made = {"backbone": family, "pretrained": str(folder), "image_size": size, "deep_depth": 1, "visualizer": False}
    model = lightning_class("CoPS")(**made).eval()
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(7))
    expected, pictures = model(images), images.numpy().astype(np.float32)
    onnx = engine(tmp_path).export(model, export_type="onnx", export_root=tmp_path / "onnx")
    compare(onnxruntime.InferenceSession(onnx).run(None, {"input": pictures}), expected)
    graph = engine(tmp_path).export(model, export_type="openvino", export_root=tmp_path / "openvino")
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    compare(list(compiled(pictures).values()), expected)


def compare(found: Any, expected: Any) -> None:
    """Check the score, the first of an exported model's results."""
    difference = np.abs(np.asarray(found[0]).flatten() - expected.pred_score.numpy().flatten()).max()
    assert difference <= 1e-4


def test_a_tower_of_another_family_is_refused_with_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for family in ("ViT-L-14-CLIPA", "PE-Core-L-14-336"):
        list_small_tower(family, tmp_path / family, monkeypatch)
    made = {"backbone": "ViT-L-14-CLIPA", "pretrained": str(tmp_path / "ViT-L-14-CLIPA"), "visualizer": False}
    cops = lightning_class("CoPS")
    weights = str(cops(**made).save_weights(tmp_path / "w.safetensors"))
    other = {"backbone": "PE-Core-L-14-336", "pretrained": str(tmp_path / "PE-Core-L-14-336")}
    with pytest.raises(InputError, match="ViT-L-14-CLIPA.*PE-Core-L-14-336"):
        cops(weights=weights, **other)
