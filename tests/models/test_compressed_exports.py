"""Test exports whose towers are rounded: what is rounded, what is not, and what that does to the results."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from anomalib_cops import AnomalyCLIP, CoPS, Predictor, UnlabelledImages, ZeroShotTransfer
from anomalib_cops.data.synthetic.addresses import draw_address
from anomalib_cops.errors import InputError
from anomalib_cops.graph_record import FULL, TOWER
from anomalib_cops.host.image_scores import raw_scores
from anomalib_cops.host.onnx_float16 import round_to_float16
from anomalib_cops.host.quantizing import MOST_IMAGES, calibration_files
from anomalib_cops.host.runtime import blocks_of
from anomalib_cops.host.sensitivity import measure_sensitivity, rounded
from anomalib_cops.openvino_graph import exact_names, round_to_bfloat16
from anomalib_cops.openvino_import import openvino_core
from tests.models.cases import CASES, lightning_class
from tests.models.runs import Trained, engine, transfer
from tests.models.test_export import SIDE, pictures

pytestmark = [pytest.mark.usefixtures("unchecked"), pytest.mark.filterwarnings("ignore")]
EXACT = {"EXECUTION_MODE_HINT": "ACCURACY"}
# Size of the file as a share of float32's, and the mean change of a map.
COMPRESSIONS = {"fp16": (0.55, 2e-3), "int8": (0.35, 0.05), "int8_ptq": (0.4, 0.15)}
ONNX_FLOAT, ONNX_FLOAT16 = 1, 10


@pytest.fixture(scope="module")
def model(trained: Trained, tmp_path_factory: pytest.TempPathFactory, exported: Callable[[str], Path]) -> Any:
    """Return the trained model, whose exports begin with the ONNX file that other tests use as well."""
    weights = trained.model.save_weights(tmp_path_factory.mktemp("weights") / "w.safetensors")
    made = lightning_class(trained.name)(weights=str(weights), visualizer=False, **CASES[trained.name].exportable)
    made.to_onnx = lambda *_, **__: exported("onnx")
    return made.eval()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_towers_are_rounded_and_nothing_else(
    model: Any, exported: Callable[[str], Path], compression: str, tmp_path: Path
) -> None:
    data = transfer()
    path = engine(tmp_path).export(
        model, "openvino", export_root=tmp_path / "out", compression_type=compression, datamodule=data
    )
    share, change = COMPRESSIONS[compression]
    whole = exported("openvino").with_suffix(".bin").stat().st_size
    assert path.with_suffix(".bin").stat().st_size < share * whole
    images = pictures(SIDE, 3)
    found = openvino_core().compile_model(path, "CPU", EXACT)(images)["anomaly_map"]
    with torch.no_grad():
        wanted = model(torch.from_numpy(images)).anomaly_map.numpy()
    assert abs(found.reshape(wanted.shape) - wanted).mean() < change
    graph = openvino_core().read_model(path)
    names = exact_names(graph)
    exact = [node for node in graph.get_ops() if node.get_friendly_name() in names]
    kinds = {node.get_type_name() for node in exact}
    assert kinds & {"Softmax", "Sigmoid"} and "MatMul" in kinds, "probabilities, and what they are made of"
    rounded = [node for node in graph.get_ops() if node.get_type_name() == "FakeQuantize"]
    assert bool(rounded) == (compression == "int8_ptq")
    readers = [reader.get_node() for node in rounded for reader in node.output(0).get_target_inputs()]
    assert not {reader.get_friendly_name() for reader in readers} & {node.get_friendly_name() for node in exact}
    assert "Convolution" not in {reader.get_type_name() for reader in readers}, "the stem reads pixels"
    with Predictor(path) as predictor:
        assert 0 <= predictor(images[0].transpose(1, 2, 0)).score <= 1


def test_bfloat16_ends_where_the_towers_end(model: Any, exported: Callable[[str], Path]) -> None:
    path, images = exported("openvino"), pictures(SIDE, 2)
    graph = openvino_core().read_model(path)
    round_to_bfloat16(graph)
    compiled = openvino_core().compile_model(graph, "CPU", EXACT)
    with torch.no_grad():
        wanted = model(torch.from_numpy(images)).anomaly_map.numpy()
    assert abs(compiled(images)["anomaly_map"].reshape(wanted.shape) - wanted).max() < 0.1
    computed = {}
    for node in compiled.get_runtime_model().get_ops():
        info = node.get_rt_info()
        for name in info["originalLayersNames"].astype(str).split(","):
            computed[name] = info["runtimePrecision"].astype(str)
    precisions = {computed[name] for name in computed if name.startswith(FULL)}
    assert "bf16" not in precisions
    if "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert "bf16" in {precision for name, precision in computed.items() if not name.startswith(FULL)}


def test_a_predictor_rounds_where_it_is_asked_to_and_refuses_graphs_that_say_not_where(
    exported: Callable[[str], Path], trained: Trained, tmp_path: Path
) -> None:
    image = pictures(SIDE, 1)[0].transpose(1, 2, 0)
    path = exported("openvino")
    with Predictor(path) as exact, Predictor(path, precision="bf16-mixed") as rounded:
        assert exact(image).score == pytest.approx(rounded(image).score, abs=0.05)
        assert "precision" not in exact.settings and rounded.settings["precision"] == "bf16-mixed"
    with pytest.raises(InputError, match="ONNX Runtime computes in the precision of the export"):
        Predictor(exported("onnx"), precision="bf16-mixed")
    with pytest.raises(InputError, match="precision='bf16' must be 32-true or bf16-mixed"):
        Predictor(path, precision="bf16")
    shutil.copy(path.with_suffix(".bin"), tmp_path / "old.bin")
    (tmp_path / "old.xml").write_text(path.read_text().replace(TOWER, ""))
    with pytest.raises(InputError, match="does not say what may be rounded"):
        Predictor(tmp_path / "old.xml", precision="bf16-mixed")


def test_blocks_may_stay_in_float32(tmp_path: Path) -> None:
    model = AnomalyCLIP(backbone="tiny", visualizer=False, float_blocks=["image.2"])
    graph = openvino_core().read_model(engine(tmp_path).export(model, "openvino", export_root=tmp_path / "out"))
    exact = exact_names(graph)
    kept = {node.get_type_name() for node in graph.get_ops() if node.get_friendly_name() in exact}
    assert "ScaledDotProductAttention" in kept, "a block is more than products with its weights"
    whole = AnomalyCLIP(backbone="tiny", visualizer=False)
    before = exact_names(
        openvino_core().read_model(engine(tmp_path).export(whole, "openvino", export_root=tmp_path / "whole"))
    )
    assert len(exact) > len(before)
    with pytest.raises(InputError, match="names no block 'image.99'"):
        AnomalyCLIP(backbone="tiny", float_blocks=["image.99"])


def test_rounding_a_block_changes_scores_and_leaves_the_model_as_it_was(trained: Trained, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images", 2)
    paths = sorted(map(str, folder.iterdir()))
    before = raw_scores(trained.model, paths)
    found = measure_sensitivity(trained.model, paths)
    assert {each.block for each in found} == blocks_of(trained.model.clip).keys()
    assert [each.mean_score for each in found] == sorted((each.mean_score for each in found), reverse=True)
    image = [each for each in found if each.block.startswith("image.")]
    assert any(each.mean_map > 0 for each in image)
    assert raw_scores(trained.model, paths) == before


def test_255_steps_are_the_nearest() -> None:
    values = torch.tensor([-1.0, -0.5, 0.003, 0.0, 1.0])
    assert rounded(values, values.abs().max()).tolist() == pytest.approx([-1, -64 / 127, 0, 0, 1])


def test_float16_ends_where_the_towers_end(model: Any, exported: Callable[[str], Path], tmp_path: Path) -> None:
    import onnx
    from onnxscript import ir

    graph = ir.load(exported("onnx"))
    round_to_float16(graph.graph)
    ir.save(graph, tmp_path / "half.onnx", external_data="half.onnx.data")
    images = pictures(SIDE, 2)
    session = onnxruntime.InferenceSession(tmp_path / "half.onnx")
    (found,) = session.run(["anomaly_map"], {session.get_inputs()[0].name: images})
    with torch.no_grad():
        wanted = model(torch.from_numpy(images)).anomaly_map.numpy()
    assert np.isfinite(found).all() and abs(found.reshape(wanted.shape) - wanted).mean() < 3e-3
    made = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "half.onnx")).graph
    kinds = {each.name: each.type.tensor_type.elem_type for each in (*made.value_info, *made.input, *made.output)}
    kinds |= {each.name: each.data_type for each in made.initializer}
    assert all(
        node.op_type == "Cast" or kinds.get(name) != ONNX_FLOAT16
        for node in made.node
        if node.name.startswith(FULL)
        for name in node.input
    )
    weights = [each for each in made.initializer if len(each.dims) == 2 and min(each.dims) > 100]
    assert sum(each.data_type == ONNX_FLOAT16 for each in weights) > len(weights) / 2
    assert {kinds[each.name] for each in (*made.input, *made.output)} & {ONNX_FLOAT} == {ONNX_FLOAT}


def test_the_command_writes_half_of_the_onnx_file(tmp_path: Path) -> None:
    model = AnomalyCLIP(backbone="tiny", visualizer=False)
    paths = [
        engine(tmp_path).export(model, "onnx", export_root=tmp_path / str(half), onnx_kwargs={"float16": half})
        for half in (False, True)
    ]
    whole, half = (Path(f"{path}.data").stat().st_size for path in paths)
    assert half < 0.55 * whole
    # The text is the same for all images, so no part of the text tower is needed.
    parameters = sum(each.numel() for each in model.clip.model.visual.parameters())
    assert whole < 4 * 1.2 * parameters
    with Predictor(paths[1]) as predictor:
        assert predictor(pictures(SIDE, 1)[0].transpose(1, 2, 0)).score == pytest.approx(
            float(model(torch.from_numpy(pictures(SIDE, 1))).pred_score), abs=5e-3
        )


def test_a_metric_decides_what_is_quantised(tmp_path: Path) -> None:
    model = AnomalyCLIP(backbone="tiny", visualizer=False)
    data = ZeroShotTransfer(source_categories=["leather"], synthetic_samples=20, num_workers=0)
    arguments = {"compression_type": "int8_acq", "max_drop": 0.05}
    path = engine(tmp_path).export(model, "openvino", export_root=tmp_path / "out", datamodule=data, **arguments)
    assert any(node.get_type_name() == "FakeQuantize" for node in openvino_core().read_model(path).get_ops())
    folder = write_images(tmp_path / "images", 2)
    with pytest.raises(InputError, match="not of both labels; give such a datamodule, or take int8_ptq"):
        engine(tmp_path).export(
            model, "openvino", export_root=tmp_path / "none", datamodule=UnlabelledImages(str(folder)), **arguments
        )
    assert not [each for each in (tmp_path / "none").rglob("*") if each.is_file()]


@pytest.mark.parametrize("compression", ["int8_ptq", "int8_acq"])
def test_without_images_nothing_is_written(compression: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="add --data ZeroShotTransfer .* or --data UnlabelledImages"):
        engine(tmp_path).export(
            CoPS(backbone="tiny", visualizer=False),
            "openvino",
            export_root=tmp_path / "out",
            compression_type=compression,
        )
    assert not (tmp_path / "out").exists()


def write_images(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        Image.fromarray(np.full((40, 60, 3), number % 255, np.uint8)).save(folder / f"{number:03}.png")
    return folder


def test_images_to_calibrate_with_are_spread_over_all(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images", 2 * MOST_IMAGES + 50)
    files = calibration_files(UnlabelledImages(str(folder)))
    assert MOST_IMAGES / 2 < len(files) <= MOST_IMAGES
    assert files[0].endswith("000.png") and files[-1] > str(folder / f"{2 * MOST_IMAGES:03}.png")
    auxiliary = ZeroShotTransfer(source_categories=["leather"], synthetic_samples=10, num_workers=0)
    drawn = calibration_files(auxiliary)
    assert len(drawn) == 10 and all(draw_address(each) is not None for each in drawn)


def test_unlabelled_images_only_show_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot train or test"):
        engine(tmp_path, max_epochs=1).fit(CoPS(backbone="tiny", visualizer=False), datamodule=UnlabelledImages("."))
    with pytest.raises(InputError, match="does not exist"):
        UnlabelledImages(str(tmp_path / "missing")).val_dataloader()
