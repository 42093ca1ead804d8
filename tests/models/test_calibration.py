"""Test calibration: thresholds by hand-computed numbers, the promise, messages, the command."""

import logging
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anomalib_cops import CoPS, InputError
from anomalib_cops.conformal import is_promised, threshold_for, without_highest
from anomalib_cops.data.sets.catalog import CATALOG
from anomalib_cops.host.calibrate_command import main
from anomalib_cops.host.label_threshold import label_threshold
from tests.data.replicas import build
from tests.models.good_images import write
from tests.models.runs import Trained, engine, predict


@pytest.fixture(scope="module")
def weights(trained_cops: Trained, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the weight file of CoPS."""
    return str(trained_cops.model.save_weights(tmp_path_factory.mktemp("weights") / "w.safetensors"))


@pytest.fixture
def model(weights: str) -> Any:
    """Return trained CoPS."""
    return CoPS(weights=weights, visualizer=False)


@pytest.mark.parametrize(
    ("images", "rate", "rank", "promised"),
    [(19, 0.05, 19, True), (18, 0.05, 18, False), (39, 0.05, 38, True), (99, 0.01, 99, True), (1, 0.5, 1, True)],
)
def test_the_threshold_is_the_score_of_a_rank(images: int, rate: float, rank: int, promised: bool) -> None:
    scores = [each / images for each in range(1, images + 1)]
    assert threshold_for(scores[::-1], rate) == scores[rank - 1]
    assert is_promised(images, rate) == promised


def test_good_images_exceed_the_threshold_at_the_promised_rate() -> None:
    rng = np.random.default_rng(0)
    exceeded = [rng.gamma(2) > threshold_for(rng.gamma(2, size=40).tolist(), 0.05) for _ in range(4000)]
    assert np.mean(exceeded) == pytest.approx(2 / 41, abs=0.01)


def test_the_highest_scores_are_taken_for_the_assumed_anomalies() -> None:
    assert without_highest([0.5, 0.1, 0.9, 0.2], 0.25) == [0.1, 0.2, 0.5]
    assert without_highest([0.5, 0.1, 0.9, 0.2], 0.3) == [0.1, 0.2], "rounded up"
    assert without_highest([0.5, 0.1], 0.0) == [0.1, 0.5]


def test_labels_and_masks_follow_the_calibrated_thresholds(
    model: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write(tmp_path / "good", 9)
    calibration = model.calibrate(tmp_path / "good", false_alarm_rate=0.2)
    assert calibration.is_promised and calibration.images == 9
    found = predict(model, tmp_path, tmp_path / "good")
    labels = torch.cat([batch.pred_label.flatten() for batch in found])
    assert labels.sum() == 1, "of nine scores the eighth is the threshold, and one is above it"
    marked = torch.cat([batch.pred_mask.flatten(1).any(dim=1) for batch in found])
    assert marked.sum() == 1
    assert "Labels by the threshold 0.5, for a false-alarm rate of 20 %, calibrated on 9 good images" in (
        capsys.readouterr().out
    )
    assert len(good) == 9


def test_too_few_images_promise_less_and_it_is_said(
    model: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "good", 4)
    calibration = model.calibrate(tmp_path / "good", false_alarm_rate=0.01)
    assert not calibration.is_promised
    assert "calibrated on 4 good images, which are too few to promise less than 20 %" in caplog.text
    assert str(label_threshold(model)) == "0.5"


def test_references_are_scored_by_each_other(model: Any, tmp_path: Path) -> None:
    write(tmp_path / "good", 5)
    model.load_references(tmp_path / "good")
    assert model.calibration is None and model.post_processor._image_threshold.isnan(), "old thresholds do not fit"
    calibration = model.calibrate(false_alarm_rate=0.2)
    assert calibration.source == "5 reference images, each scored by the others"
    assert model.post_processor._image_threshold.item() == pytest.approx(max(model.references.scores))
    with pytest.raises(InputError, match="among the reference images, whose scores are too low to calibrate with"):
        model.calibrate(tmp_path / "good")


def test_unlabelled_images_with_an_assumed_share(model: Any, tmp_path: Path) -> None:
    write(tmp_path / "mixed", 8)
    write(tmp_path / "mixed", 2, anomalous=True)
    model.calibrate(tmp_path / "mixed", false_alarm_rate=0.2, anomalous_share=0.2)
    assert model.calibration.images == 8
    assert model.calibration.source == "10 unlabelled images with an assumed share of 20 % anomalies"
    with pytest.raises(InputError, match="leaves no image to calibrate with"):
        model.calibrate(tmp_path / "mixed", anomalous_share=0.95)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"false_alarm_rate": 0.0}, "false_alarm_rate=0.0 must be between 0 and 1"),
        ({"anomalous_share": 1.0}, "anomalous_share=1.0 must be 0 or more and less than 1"),
        ({}, "CoPS has nothing to calibrate with: give good images, or load reference images"),
        ({"images": "nowhere"}, "nowhere, does not exist"),
    ],
)
def test_bad_input_ends_in_a_sentence(model: Any, arguments: dict[str, Any], sentence: str) -> None:
    before = model.post_processor._image_threshold.clone()
    with pytest.raises(InputError, match=sentence):
        model.calibrate(**arguments)
    assert torch.equal(model.post_processor._image_threshold, before) and model.calibration is None


def test_an_untrained_model_is_not_calibrated() -> None:
    with pytest.raises(InputError, match="CoPS has no trained weights"):
        CoPS(backbone="tiny").calibrate("anything")
    with pytest.raises(InputError, match="has no post-processor that could keep thresholds"):
        CoPS(backbone="tiny", post_processor=False).calibrate("anything")


def test_a_single_reference_cannot_calibrate(model: Any, tmp_path: Path) -> None:
    write(tmp_path / "good", 1)
    model.load_references(tmp_path / "good")
    with pytest.raises(InputError, match="A single reference image has no other to be scored by"):
        model.calibrate()


def test_the_command_writes_a_file_that_predicts_with_its_threshold(
    weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "good", 4)
    write(tmp_path / "more", 9, first=10)
    line = tmp_path / "line.safetensors"
    arguments = ["--model", "CoPS", "--model.weights", weights, "--model.few_shot_source", str(tmp_path / "good")]
    assert main([*arguments, "--data", str(tmp_path / "more"), "--false_alarm_rate", "0.1", "--output", str(line)]) == 0
    assert (
        "labels for a false-alarm rate of 10 %, calibrated on 9 good images; raw thresholds" in capsys.readouterr().out
    )
    loaded = CoPS(weights=str(line), visualizer=False)
    assert len(loaded.references.files) == 4 and loaded.calibration.images == 9
    assert main([*arguments, "--output", str(tmp_path / "line.ckpt")]) == 2
    assert "has to end in .safetensors" in capsys.readouterr().err
    assert main(["--model", "anomalib.models.Padim", "--output", str(line)]) == 2
    assert "Padim is none of the models of anomalib-cops" in capsys.readouterr().err


def test_the_command_takes_unlabelled_images_and_data_sets_by_name(
    weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build(CATALOG["visa"], CATALOG["visa"].layouts[-1], tmp_path / "datasets")
    write(tmp_path / "unlabelled", 5)
    arguments = ["--model", "CoPS", "--model.weights", weights, "--false_alarm_rate", "0.2"]
    for source, words in (
        (["--data", "visa", "--root", str(tmp_path / "datasets")], r"calibrated on \d+ good images"),
        (
            ["--data", str(tmp_path / "unlabelled"), "--anomalous_share", "0.02"],
            "5 unlabelled images with an assumed share",
        ),
    ):
        assert main([*arguments, *source, "--output", str(tmp_path / "line.safetensors")]) == 0
        assert re.search(words, capsys.readouterr().out)
    assert (
        main([*arguments, "--data", "visa", "--root", str(tmp_path), "--output", str(tmp_path / "l.safetensors")]) == 2
    )
    assert "visa" in capsys.readouterr().err


def test_the_console_script_knows_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from anomalib_cops import command

    monkeypatch.setattr(sys, "argv", ["anomalib-cops", "calibrate", "--help"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 0 and "Set the thresholds of labels and masks" in capsys.readouterr().out


def test_fine_tuning_on_normal_images_keeps_the_calibration(model: Any, tmp_path: Path) -> None:
    from anomalib.data import Folder

    write(tmp_path / "data" / "good", 6)
    write(tmp_path / "data" / "bad", 2, anomalous=True)
    model.calibrate(tmp_path / "data" / "good", false_alarm_rate=0.2)
    data = Folder(name="parts", root=tmp_path / "data", normal_dir="good", abnormal_dir="bad", num_workers=0)
    engine(tmp_path).fit(model, datamodule=data)
    assert model.calibration is not None and not model.post_processor._image_threshold.isnan()


def test_uncalibrated_references_are_announced_once(
    model: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "good", 3)
    model.load_references(tmp_path / "good")
    with caplog.at_level(logging.WARNING):
        predict(model, tmp_path, Path(write(tmp_path / "parts", 2, first=30)[0]).parent)
    assert caplog.text.count("The threshold is not calibrated") == 1
