"""Test that exported models compute what the model computes: all outputs, all runtimes, images of any size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from anomalib.deploy import OpenVINOInferencer, TorchInferencer
from PIL import Image
from torchvision.transforms.v2.functional import to_dtype, to_image

from anomalib_cops import AdaCLIP, InputError
from anomalib_cops.openvino_import import openvino_core
from tests.models.cases import CASES, lightning_class
from tests.models.runs import Trained, engine, predict

SMALL, SIDE, LARGE = (64, 100), (120, 120), (700, 1100)
# AdaCLIP's logits, and so their rounding errors, are 100 times the cosine's.
OUTPUTS = {"pred_score": 1e-4, "anomaly_map": 2e-4}
HINTS: dict[str, dict[str, str]] = {"float32": {"EXECUTION_MODE_HINT": "ACCURACY"}, "automatic": {}}


@pytest.fixture(scope="session")
def model(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the trained model with settings that can be exported."""
    path = trained.model.save_weights(tmp_path_factory.mktemp("weights") / "w.safetensors")
    settings = CASES[trained.name].exportable
    return lightning_class(trained.name)(weights=str(path), visualizer=False, **settings).eval()


def pictures(size: tuple[int, int], count: int) -> np.ndarray:
    """Return pictures as input of exported models: shape (count, 3, height, width), in [0, 1]."""
    rng = np.random.default_rng(sum(size))
    coarse = rng.integers(0, 255, (count, 12, 10, 3), np.uint8)
    resized = [np.asarray(Image.fromarray(each).resize(size[::-1], Image.Resampling.BICUBIC)) for each in coarse]
    return (np.stack(resized).transpose(0, 3, 1, 2) / 255).astype(np.float32)


def compare(found: dict[str, np.ndarray], expected: Any) -> None:
    for name, near in OUTPUTS.items():
        wanted = getattr(expected, name).detach().numpy()
        np.testing.assert_allclose(found[name].reshape(wanted.shape), wanted, atol=near, rtol=0, err_msg=name)
    labels = expected.pred_label.numpy().astype(bool)
    assert (found["pred_label"].reshape(labels.shape).astype(bool) == labels).all()
    masks = expected.pred_mask.numpy().astype(bool)
    assert (found["pred_mask"].reshape(masks.shape).astype(bool) != masks).mean() < 1e-3, "beyond the threshold itself"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("unchecked")
def test_onnx_gives_all_outputs(model: Any, exported: Callable[[str], Path]) -> None:
    session = onnxruntime.InferenceSession(exported("onnx"))
    names = [each.name for each in session.get_outputs()]
    for size, count in ((SIDE, 3), (LARGE, 1)):
        images = pictures(size, count)
        found = dict(zip(names, session.run(names, {session.get_inputs()[0].name: images}), strict=True))
        with torch.no_grad():
            compare(found, model(torch.from_numpy(images)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("hint", HINTS)
def test_openvino_gives_all_outputs(model: Any, exported: Callable[[str], Path], hint: str) -> None:
    compiled = openvino_core().compile_model(exported("openvino"), "CPU", HINTS[hint])
    for size, count in ((SMALL, 3), (LARGE, 1)):
        images = pictures(size, count)
        found = compiled(images)
        with torch.no_grad():
            expected = model(torch.from_numpy(images))
        if hint == "float32" or "f32" in str(compiled.get_property("INFERENCE_PRECISION_HINT")).lower():
            compare({name: found[name] for name in (*OUTPUTS, "pred_label", "pred_mask")}, expected)
        else:
            assert all(np.isfinite(found[name]).all() for name in OUTPUTS), "a processor with bfloat16"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("unchecked")
def test_anomalibs_inferencers_give_the_scores_of_a_prediction(
    model: Any, exported: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUST_REMOTE_CODE", "1")
    monkeypatch.chdir(tmp_path)  # OpenVINO's reader keeps a cache in the working folder
    levels = (pictures(LARGE, 1)[0].transpose(1, 2, 0) * 255).round().astype(np.uint8)
    path = tmp_path / "picture.png"
    Image.fromarray(levels).save(path)
    (predicted,) = predict(model, tmp_path, path)
    wanted = predicted.pred_score.item()
    found = OpenVINOInferencer(exported("openvino"), device="CPU", config=HINTS["float32"]).predict(path)
    assert float(np.ravel(found.pred_score)[0]) == pytest.approx(wanted, abs=1e-4)
    if not CASES[type(model).__name__].exportable:
        inferencer = TorchInferencer(exported("torch"), device="cpu")
        assert inferencer.predict(path).pred_score.item() == pytest.approx(wanted, abs=1e-5)
        image = to_dtype(to_image(levels), torch.float32, scale=True)[None]
        assert not inferencer.model(image).pred_score.requires_grad


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_fusion_is_refused_before_anything_is_written(kind: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="set fusion=False to export it"):
        engine(tmp_path).export(AdaCLIP(backbone="tiny", visualizer=False), kind, export_root=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_export_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = lightning_class("AnomalyCLIP")(backbone="tiny", visualizer=False)

    def half(*_: Any, **__: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="disk is full"):
        engine(tmp_path).export(model, "torch", export_root=tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
