"""Test models that cut images into tiles, with every method: in predictions, tests, references, files."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anomalib_cops import CoPS, InputError, Predictor
from anomalib_cops.tiles import Tiling
from tests.models.cases import lightning_class
from tests.models.good_images import write
from tests.models.runs import Trained, engine, predict, transfer

TILES = "40/10"


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("references") / "good"
    write(folder, 3)
    return folder


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspected") / "parts"
    write(folder, 1, first=50)
    write(folder, 1, first=60, anomalous=True)
    return folder


def test_the_score_is_the_largest_of_whole_and_tiles_and_the_map_has_the_size_of_the_image(
    make: Callable[..., Any], parts: Path, tmp_path: Path
) -> None:
    model, plain = make(tiles=TILES, tile_batch=3), make().eval()
    for batch in predict(model, tmp_path, parts):
        assert batch.anomaly_map.shape[-2:] == (64, 64) == tuple(batch.image.shape[-2:])
        image = batch.image[0]
        crops = [image, *(box.of(image) for box in Tiling(TILES).boxes(64, 64, 120))]
        model.eval().post_processor.enable_normalization = False
        raw = float(model.predict_images([image])[0].pred_score)
        plain_raw = max(float(plain.model(plain.prepare([crop])).pred_score) for crop in crops)
        assert raw == pytest.approx(plain_raw, abs=1e-5)


def test_references_follow_the_tiles_and_stay_in_weight_files(
    make: Callable[..., Any], good: Path, parts: Path, tmp_path: Path, trained: Trained
) -> None:
    model = make(tiles=TILES, few_shot_source=str(good))
    found = [(float(each.pred_score), each.anomaly_map) for each in predict(model, tmp_path, parts)]
    tiles = len(Tiling(TILES).boxes(64, 64, 120))
    patches = model.model.memory.bank.shape[0] // 3
    assert model.model.tile_memory.bank.shape[0] == 3 * tiles * patches
    assert model.references.tiles == TILES and len(model.references.scores) == 3
    path = model.save_weights(tmp_path / "tiled.safetensors")
    again = lightning_class(trained.name)(weights=str(path), visualizer=False)
    assert again.tiles == TILES
    for (score, values), batch in zip(found, predict(again, tmp_path, parts), strict=True):
        assert score == float(batch.pred_score) and torch.equal(values, batch.anomaly_map)
    with pytest.raises(InputError, match=f"described with tiles='{TILES}'; leave tiles out"):
        lightning_class(trained.name)(weights=str(path), tiles="none")


def test_without_tiles_nothing_changes(make: Callable[..., Any], parts: Path, tmp_path: Path) -> None:
    one, other = (predict(make(tiles=tiles), tmp_path, parts) for tiles in (None, "none"))
    assert all(torch.equal(a.anomaly_map, b.anomaly_map) for a, b in zip(one, other, strict=True))
    assert one[0].anomaly_map.shape[-2:] == (120, 120)


def test_thresholds_belong_to_their_tiles(
    cops_weights: Path, good: Path, parts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        model = CoPS(weights=str(cops_weights), tiles=TILES)
    assert "were set with tiles='none' and are forgotten" in caplog.text
    assert all(bool(each.isnan()) for each in model.post_processor.thresholds)
    calibration = model.calibrate(good, 0.3)
    assert calibration.tiles == TILES
    path = model.save_weights(tmp_path / "line.safetensors")
    again = CoPS(weights=str(path))
    assert again.tiles == TILES and again.calibration == calibration
    whole = CoPS(weights=str(path), tiles="none")
    assert whole.calibration is None and bool(whole.post_processor.thresholds[0].isnan())
    detector = Predictor(path, device="cpu")
    assert detector.thresholds.calibrated and detector.settings["tiles"] == TILES
    batch = predict(again, tmp_path, parts)[0]
    assert detector(batch.image_path[0]).score == float(batch.pred_score)


def test_calibrating_on_references_scores_each_by_the_others_in_tiles(cops_weights: Path, good: Path) -> None:
    model = CoPS(weights=str(cops_weights), tiles=TILES, few_shot_source=str(good))
    calibration = model.calibrate(None, 0.3)
    assert calibration.images == 3 and 0 < float(model.post_processor.thresholds[0]) <= 1


def test_a_checkpoint_keeps_the_tiles_of_its_references(cops_weights: Path, good: Path, tmp_path: Path) -> None:
    model = CoPS(weights=str(cops_weights), tiles=TILES, few_shot_source=str(good), visualizer=False)
    run = engine(tmp_path)
    run.predict(model, data_path=good)
    run.trainer.save_checkpoint(tmp_path / "tiled.ckpt")
    again = CoPS.load_from_checkpoint(tmp_path / "tiled.ckpt", visualizer=False)
    assert again.tiles == TILES
    assert torch.equal(again.model.tile_memory.bank, model.model.tile_memory.bank)


def test_a_test_measures_at_the_size_of_the_image(cops_weights: Path, tmp_path: Path) -> None:
    model = CoPS(weights=str(cops_weights), tiles=TILES, visualizer=False)
    data = transfer(synthetic_size=96, eval_batch_size=1)
    figures = engine(tmp_path).test(model, datamodule=data)[0]
    assert any("pixel_AUROC" in name for name in figures)
    with pytest.raises(InputError, match=r"do not fit into batches of 4; give --data\.eval_batch_size 1"):
        engine(tmp_path).test(model, datamodule=transfer(eval_batch_size=4))


def test_tiles_are_for_tests(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leave tiles out of the training"):
        engine(tmp_path, max_epochs=1).fit(CoPS(backbone="tiny", tiles="auto"), datamodule=transfer())
    with pytest.raises(InputError, match="tile_batch=0"):
        CoPS(backbone="tiny", tile_batch=0)
    with pytest.raises(InputError, match="the model's own pre-processor"):
        CoPS(backbone="tiny", tiles="auto", pre_processor=False)


def test_a_graph_cannot_hold_references_in_tiles(cops_weights: Path, good: Path, tmp_path: Path) -> None:
    model = CoPS(weights=str(cops_weights), tiles=TILES, few_shot_source=str(good))
    for export in (model.to_onnx, model.to_openvino):
        with pytest.raises(InputError, match="export without references or without tiles"):
            export(tmp_path)
    assert not list(tmp_path.iterdir())


def test_references_that_are_too_small_for_tiles_are_refused(cops_weights: Path, good: Path) -> None:
    detector = Predictor(cops_weights, tiles="auto", references=good, device="cpu")
    detector(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(InputError, match="400 x 300 pixels is cut into tiles, but no reference image is large enough"):
        detector(np.zeros((300, 400, 3), np.uint8))


def test_a_call_of_the_model_cuts_images_too(cops_weights: Path, parts: Path) -> None:
    model = CoPS(weights=str(cops_weights), tiles=TILES).eval()
    images = torch.rand(2, 3, 60, 70, generator=torch.Generator().manual_seed(0))
    found = model(images)
    assert found.anomaly_map.shape == (2, 60, 70)
    assert torch.equal(found.pred_score[1:], model.predict_images([images[1]])[0].pred_score)
