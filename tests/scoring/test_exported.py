"""Test that an exported model is scored with where only NumPy, Pillow and its runtime are installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalib_cops.scoring.run import open_table

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

MISSING = (
    "torch",
    "lightning",
    "anomalib",
    "pandas",
    "rich",
    "tqdm",
    "jsonargparse",
    "pyarrow",
    "fsspec",
    "cv2",
    "scipy",
    "sklearn",
    "torchvision",
    "timm",
    "open_clip",
    "transformers",
    "jaxtyping",
    "ray",
)
PROGRAM = f"""
import sys
for name in {MISSING}:
    sys.modules[name] = None  # importing it fails
from anomalib_cops.command import main
if __name__ == "__main__":
    main()
"""


def build(path: Path) -> None:
    """Write a graph whose score is the mean level, and whose map is the mean of the channels."""
    floats = onnx.TensorProto.FLOAT
    shape = onnx.helper.make_tensor_value_info
    nodes = [
        onnx.helper.make_node("ReduceMean", ["input", "all"], ["pred_score"], keepdims=0),
        onnx.helper.make_node("ReduceMean", ["input", "channels"], ["anomaly_map"], keepdims=1),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "mean",
        [shape("input", floats, ["batch", 3, "height", "width"])],
        [shape("pred_score", floats, ["batch"]), shape("anomaly_map", floats, ["batch", 1, "height", "width"])],
        [
            onnx.helper.make_tensor("all", onnx.TensorProto.INT64, [3], [1, 2, 3]),
            onnx.helper.make_tensor("channels", onnx.TensorProto.INT64, [1], [1]),
        ],
    )
    versions = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=versions, ir_version=9), path)


def test_an_exported_model_needs_little_more_than_numpy(tmp_path: Path) -> None:
    build(tmp_path / "model.onnx")
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "my_images").mkdir()
    for number in range(3):
        levels = np.zeros((6, 8, 3), np.uint8)
        levels[:2, :4] = 255
        levels[4:] = 20 * number
        Image.fromarray(levels).save(tmp_path / f"my_images/{number}.png")
    words = ["score", "./my_images", "--model", "model.onnx", "--output", "scores.csv", "--pictures", "pictures"]
    run = subprocess.run(
        [sys.executable, "program.py", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "scores.csv: 3 images, 3 of them new." in run.stdout
    rows = list(open_table(tmp_path / "scores.csv").rows())
    for number, row in enumerate(rows):
        assert row.score == pytest.approx((8 * 255 + 16 * 20 * number) / 48 / 255, abs=1e-6)
        assert (row.label, row.threshold, row.width, row.height, row.regions) == (0, 0.5, 8, 6, 1)
        assert '"box":[0,0,4,2],"area":8,"peak":1.0,' in str(row.region_list)
    assert len([*(tmp_path / "pictures").glob("*.png")]) == 3
