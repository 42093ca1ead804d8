"""Export every method on a small tower of a backbone, and compare the scores of the graphs with those of torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnxruntime
import openvino
import pytest
import torch

from anomalib_cops.openvino_import import openvino_core
from tests.models.cases import CASES, lightning_class, method
from tests.models.runs import engine
from tests.towers.comparisons import Comparison
from tests.towers.listed import list_small_tower

GRID = 5
TEXT_LAYERS = 2
"""Blocks of the text tower, which are few because each takes seconds to export."""
FEW_LAYERS: dict[str, dict[str, Any]] = {
    "AdaCLIP": {"depth": 2},
    "AnomalyCLIP": {"deep_depth": 1},
    "CoPS": {"deep_depth": 1},
}
"""Settings that go with so few."""
TOLERANCE = 1e-4


def exports_on(backbone: str, folder: Path) -> Iterator[Comparison]:
    """Yield the comparisons of all methods that a small tower of a backbone can carry; each takes half a minute."""
    with pytest.MonkeyPatch.context() as patch:
        for name in sorted(CASES):
            if "dino" not in backbone or not method(name).reads_text:
                yield from exports_of(name, backbone, folder / name, patch)


def exports_of(name: str, backbone: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Comparison]:
    """Yield the comparisons of one method: its graph in ONNX Runtime, and the same graph in OpenVINO."""
    tower = list_small_tower(backbone, folder / "tower", patch, text_layers=TEXT_LAYERS)
    size = GRID * tower.patch
    settings = {"quick_gelu": False} if tower.tokenizer else {}
    settings |= {"image_size": size, "visualizer": False, **CASES[name].exportable, **FEW_LAYERS.get(name, {})}
    model = lightning_class(name)(backbone=backbone, pretrained=str(folder / "tower"), **settings).eval()
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(7))
    expected = model(images).pred_score
    path = engine(folder).export(model, export_type="onnx", export_root=folder)
    by_onnx = onnxruntime.InferenceSession(path).run(None, {"input": images.numpy()})[0]
    yield Comparison(f"{name}: onnx", torch.from_numpy(by_onnx).flatten(), expected, TOLERANCE)
    compiled = openvino_core().compile_model(openvino.convert_model(path), "CPU", {"EXECUTION_MODE_HINT": "ACCURACY"})
    by_openvino = next(iter(compiled(images.numpy()).values()))
    yield Comparison(f"{name}: openvino", torch.from_numpy(by_openvino).flatten(), expected, TOLERANCE)
