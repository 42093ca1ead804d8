"""Test predictions of a user's own images: the files they write and the messages they print."""

import csv
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from anomalib.cli import AnomalibCLI
from anomalib.visualization import ImageVisualizer
from lightning.pytorch import Callback
from PIL import Image

from anomalib_cops import AdaCLIP, CoPS
from anomalib_cops.host import returned_predictions
from anomalib_cops.host.untrue_warning import hide_untrue_warning
from tests.models.runs import Trained, engine, transfer

ENGINE = "anomalib.engine.engine"
UNTRUE = "ckpt_path is not provided"


@pytest.fixture(scope="module")
def weights(trained_cops: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(trained_cops.model.save_weights(tmp_path_factory.mktemp("weights") / "cops.safetensors"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return images of equal names in two folders and in two formats."""
    for number, place in enumerate(("line1/2024/1.png", "line2/2024/1.png", "line2/2024/1.jpg")):
        path = tmp_path / "pictures" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        levels = np.random.default_rng(number).integers(0, 255, (48, 96, 3), dtype=np.uint8)
        Image.fromarray(levels).save(path)
    return tmp_path / "pictures"


def scores(folder: Path) -> list[dict[str, str]]:
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def drawn(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}


def test_scores_and_pictures_of_every_image_are_left_and_where_is_said(
    weights: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = engine(tmp_path / "results")
    predictions = run.predict(CoPS(weights=str(weights)), data_path=pictures)
    folder = (Path(run.trainer.default_root_dir) / "predictions").resolve()
    assert drawn(folder / "images") == {"line1/2024/1.png", "line2/2024/1.png", "line2/2024/1.jpg.png"}
    with Image.open(folder / "images/line1/2024/1.png") as shown:
        assert shown.width == 3 * 512
    rows = scores(folder)
    assert [row["path"] for row in rows] == [batch.image_path[0] for batch in predictions]
    for row, batch in zip(rows, predictions, strict=True):
        assert float(row["score"]) == pytest.approx(float(batch.pred_score), rel=1e-8)
        assert bool(int(row["label"])) == bool(batch.pred_label) == (float(row["score"]) > float(row["threshold"]))
    [line] = [line for line in capsys.readouterr().out.splitlines() if "scores.csv" in line]
    assert line.startswith("Scores of 3 images in ") and str(folder) in line


def test_a_second_prediction_leaves_the_first_alone(weights: Path, pictures: Path, tmp_path: Path) -> None:
    model = CoPS(weights=str(weights))
    folders = []
    for source in (pictures / "line1", pictures / "line2"):
        run = engine(tmp_path / "results")
        run.predict(model, data_path=source)
        folders.append(max(tmp_path.rglob("scores.csv"), key=lambda path: path.stat().st_mtime_ns).parent)
    assert [len(scores(folder)) for folder in folders] == [1, 2]
    assert [drawn(folder / "images") for folder in folders] == [{"1.png"}, {"1.png", "1.jpg.png"}]


def test_without_pictures_there_are_scores(
    weights: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine(tmp_path / "results").predict(CoPS(weights=str(weights), visualizer=False), data_path=pictures)
    assert len(scores(next(tmp_path.rglob("scores.csv")).parent)) == 3
    assert not list((tmp_path / "results").rglob("*.png"))
    assert "no pictures (the visualizer is off)" in capsys.readouterr().out


def test_anomalib_s_own_visualizer_draws_beside_the_scores(weights: Path, pictures: Path, tmp_path: Path) -> None:
    visualizer = ImageVisualizer()
    engine(tmp_path / "results").predict(
        CoPS(weights=str(weights), visualizer=visualizer), data_path=pictures / "line1"
    )
    assert drawn(next(tmp_path.rglob("scores.csv")).parent) == {"images/2024/1.png"}
    assert visualizer.output_dir is None


def test_many_predictions_are_returned_from_the_disk(
    weights: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = CoPS(weights=str(weights), visualizer=False)
    in_memory = engine(tmp_path / "memory").predict(model, data_path=pictures)
    moved = []
    on_disk = returned_predictions.ReturnedPredictions._on_disk
    monkeypatch.setattr(returned_predictions, "IN_MEMORY", 0)
    monkeypatch.setattr(
        returned_predictions.ReturnedPredictions, "_on_disk", lambda *given: moved.append(1) or on_disk(*given)
    )
    mapped = engine(tmp_path / "disk").predict(model, data_path=pictures)
    assert len(moved) == 3 * 3
    for one, other in zip(in_memory, mapped, strict=True):
        for name in ("image", "anomaly_map", "pred_mask", "pred_score", "pred_label"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_the_command_line_collects_no_predictions(
    weights: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", "--model", "CoPS", "--model.weights", str(weights), "--model.visualizer", "false"]
    trainer = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    cli = AnomalibCLI([*command, "--data", str(pictures), *trainer, "--default_root_dir", str(tmp_path / "results")])
    assert not cli.engine.trainer.predict_loop.return_predictions
    assert cli.engine.trainer.predict_loop.predictions == []
    assert len(scores(next(tmp_path.rglob("scores.csv")).parent)) == 3
    assert "Scores of 3 images in " in capsys.readouterr().out


class Failing(Callback):
    def on_predict_batch_end(self, *arguments: Any, **named: Any) -> None:
        if arguments[4] == 1:
            raise KeyError("a user's callback")


def test_a_prediction_that_stops_early_keeps_its_scores_under_another_name(
    weights: Path, pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = engine(tmp_path / "results", callbacks=[Failing()])
    with pytest.raises(KeyError):
        run.predict(CoPS(weights=str(weights)), data_path=pictures)
    [part] = [path for path in tmp_path.rglob("scores.csv*")]
    assert part.name == "scores.csv.part" and len(part.read_text().splitlines()) == 2
    assert f"the scores so far are in {part}" in caplog.text


@pytest.fixture
def published(weights: Path) -> CoPS:
    """Return a model without thresholds, as with published weights."""
    model = CoPS(weights=str(weights), visualizer=False)
    model.post_processor._image_threshold.fill_(torch.nan)
    model.post_processor._pixel_threshold.fill_(torch.nan)
    return model


def test_labels_without_a_threshold_are_warned_of_once(
    published: CoPS, pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine(tmp_path).predict(published, data_path=pictures)
    [warning] = [record.getMessage() for record in caplog.records if "threshold" in record.getMessage()]
    assert "a label only says that the score is above 0.5" in warning and "anomalib-cops calibrate" in warning


@pytest.mark.parametrize("has_found", [True, False])
def test_labels_with_a_threshold_are_not_warned_of(
    has_found: bool, published: CoPS, pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if has_found:
        published.post_processor._image_threshold.fill_(0.3)
    else:
        published.post_processor.image_sensitivity = 0.4
    engine(tmp_path).predict(published, data_path=pictures)
    assert "threshold" not in caplog.text
    expected = {"0.5" if has_found else "0.6"}
    assert {row["threshold"][:3] for row in scores(next(tmp_path.rglob("scores.csv")).parent)} == expected


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    hide_untrue_warning()
    with caplog.at_level(logging.INFO, ENGINE):
        yield caplog


def test_weights_that_are_there_are_not_said_to_be_missing(
    trained_cops: Trained, weights: Path, pictures: Path, tmp_path: Path, messages: pytest.LogCaptureFixture
) -> None:
    run = engine(tmp_path)
    model = CoPS(weights=str(weights), visualizer=False)
    run.predict(model, data_path=pictures / "line1")
    assert UNTRUE not in messages.text
    run.predict(CoPS(backbone="tiny", visualizer=False), data_path=pictures / "line1")
    assert UNTRUE in messages.text


def test_every_image_of_a_test_gets_a_picture(weights: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    for place in ("good/a/0", "good/a/1", "good/b/0", "good/b/1", "defect/0", "defect/1", "mask/0", "mask/1"):
        path = (parts / place).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        levels = np.zeros((40, 60, 3), np.uint8)
        levels[5:20, 5:20] = 255
        Image.fromarray(levels).save(path)
    run = engine(tmp_path / "results")
    run.test(CoPS(weights=str(weights)), datamodule=transfer(target=str(parts), target_categories=None), verbose=False)
    below = Path(run.trainer.default_root_dir) / "images" / "parts" / "parts"
    assert drawn(below) == {
        "good/a/0.png",
        "good/a/1.png",
        "good/b/0.png",
        "good/b/1.png",
        "defect/0.png",
        "defect/1.png",
    }


def test_anomalib_s_own_visualizer_draws_synthetic_pictures(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    data = transfer(target_categories=["carpet", "gear"], synthetic_samples=4)
    run = engine(tmp_path / "ours")
    run.test(CoPS(weights=str(weights), visualizer=ImageVisualizer()), datamodule=data, verbose=False)
    assert len(drawn(Path(run.trainer.default_root_dir))) == 8


def test_synthetic_predictions_name_files_and_ada_clip_still_knows_what_they_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    model = AdaCLIP(backbone="tiny", visualizer=False)
    asked: list[str] = []
    extra_inputs = model.extra_inputs
    monkeypatch.setattr(model, "extra_inputs", lambda batch: asked.extend(extra_inputs(batch)["class_names"]) or {})
    predictions = engine(tmp_path / "results").predict(model, datamodule=transfer(synthetic_samples=4))
    assert all(Path(path).is_file() for batch in predictions for path in batch.image_path)
    assert asked == ["carpet"] * 4
