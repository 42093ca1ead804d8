"""Test ``Predictor`` with every method: its decisions are those of ``anomalib predict``, in all ways to run a model."""

import json
import logging
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from anomalib_cops import CoPS, InputError, Predictor
from tests.models.cases import CASES, lightning_class
from tests.models.good_images import write
from tests.models.runs import Trained, predict

BLOCKED = (
    "torch",
    "torchvision",
    "lightning",
    "anomalib",
    "open_clip",
    "cv2",
    "scipy",
    "sklearn",
    "pandas",
    "safetensors",
)
EDGE = f"""
import json, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ImportError(name)

sys.meta_path.insert(0, Missing())
from anomalib_cops import Predictor

with Predictor(sys.argv[1], batch_size=2) as detector:
    results = detector(sys.argv[3:])
    results[0].save(sys.argv[2])
print(json.dumps([[r.score, r.label, r.threshold, float(r.map.max()), [x.box for x in r.regions]] for r in results]))
"""


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspected") / "parts"
    write(folder, 2, first=50)
    write(folder, 2, first=60, anomalous=True)
    return folder


def test_decisions_are_those_of_anomalib_predict(weights: Path, image_folder: Path, trained: Trained) -> None:
    batches = predict(lightning_class(trained.name)(weights=str(weights), visualizer=False), image_folder, image_folder)
    detector = Predictor(weights, device="cpu")
    for batch in batches:
        result = detector(batch.image_path[0])
        assert result.score == float(batch.pred_score)
        assert result.label == bool(batch.pred_label) and result.threshold == 0.5
        np.testing.assert_array_equal(result.map, batch.anomaly_map[0].numpy())
        assert result.path == batch.image_path[0]
        with Image.open(result.path) as image:
            assert result.size == image.size and result.full_map.shape == image.size[::-1]


def test_an_exported_model_needs_no_torch(
    exported: Callable[[str], Path], parts: Path, tmp_path: Path, trained: Trained, unchecked: None
) -> None:
    files = sorted(map(str, parts.iterdir()))
    path = exported("onnx")
    arguments = [path, tmp_path / "shown.png", *files]
    ran = subprocess.run([sys.executable, "-c", EDGE, *map(str, arguments)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    settings = CASES[trained.name].exportable
    detector = Predictor(trained.name, weights=path.parents[2] / "w.safetensors", device="cpu", **settings)
    tolerance = 1e-4 if trained.name == "AdaCLIP" else 1e-5
    for result, row in zip(detector(files), json.loads(ran.stdout), strict=True):
        score, label, threshold, peak, _ = row
        assert score == pytest.approx(result.score, abs=tolerance) and peak == pytest.approx(result.map.max(), abs=2e-4)
        assert label == result.label and threshold == result.threshold
    with Image.open(tmp_path / "shown.png") as shown:
        assert shown.width == 2 * 512


def test_openvino_and_pickles(
    exported: Callable[[str], Path], parts: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    if trained.name != "AnomalyCLIP":
        pytest.skip("the runtimes are tested with every method in test_export.py")
    files = sorted(map(str, parts.iterdir()))
    expected = [result.score for result in Predictor(weights, device="cpu")(files)]
    graph = Predictor(exported("openvino"), batch_size=3)
    assert [result.score for result in graph(files)] == pytest.approx(expected, abs=1e-5)
    with pytest.raises(InputError, match="on ABACUS by OpenVINO .*give another device, such as cpu"):
        Predictor(exported("openvino"), device="abacus")
    pickled = exported("torch")
    monkeypatch.delenv("TRUST_REMOTE_CODE", raising=False)
    with pytest.raises(InputError, match="runs code from it; .*TRUST_REMOTE_CODE=1"):
        Predictor(pickled)
    monkeypatch.setenv("TRUST_REMOTE_CODE", "1")
    assert [result.score for result in Predictor(pickled, device="cpu")(files)] == expected
    assert Predictor(pickled, batch_size=2)(files[0]).score == expected[0]
    with pytest.raises(InputError, match="takes no references"):
        Predictor(pickled, references=parts)
    whole, tiled = Predictor(exported("onnx")), Predictor(exported("onnx"), tiles="40/10", batch_size=8)
    assert tiled(files[0]).score >= whole(files[0]).score and tiled(files[0]).map.shape == (64, 64)
    assert whole.thresholds.calibrated and not tiled.thresholds.calibrated
    with pytest.raises(InputError, match="exported model, which takes no references"):
        Predictor(exported("onnx"), references=parts)


def test_anything_that_shows_an_image(cops_weights: Path, parts: Path) -> None:
    detector = Predictor(cops_weights, device="cpu")
    path = sorted(parts.iterdir())[0]
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    levels = np.array(image)
    kinds = [path, str(path), image, levels, levels.astype(np.float32) / 255, torch.from_numpy(levels).permute(2, 0, 1)]
    assert len({result.score for result in detector(kinds)}) == 1
    assert detector(tuple(kinds[:1]))[0].path == str(path) and detector(image).path == ""
    assert detector([]) == []


def test_batches_change_nothing_but_the_last_digits(cops_weights: Path, parts: Path) -> None:
    files = sorted(parts.iterdir())
    one, many = Predictor(cops_weights, device="cpu")(files), Predictor(cops_weights, device="cpu", batch_size=3)(files)
    assert [each.score for each in many] == pytest.approx([each.score for each in one], abs=1e-5)


def test_references_and_names(cops_weights: Path, parts: Path) -> None:
    files = sorted(parts.iterdir())
    plain = Predictor("CoPS", weights=cops_weights, device="cpu")
    folder, listed = Predictor(cops_weights, references=parts), Predictor(cops_weights, references=files)
    module = Predictor(CoPS(weights=str(cops_weights), few_shot_source=str(parts)), device="CPU")
    given = Predictor(CoPS(weights=str(cops_weights)), references=str(parts), device=torch.device("cpu"))
    scores = [each(files[0]).score for each in (folder, listed, module, given)]
    assert len(set(scores)) == 1 and scores[0] != plain(files[0]).score
    assert folder.settings == listed.settings == module.settings != plain.settings
    assert json.loads(json.dumps(plain.settings)) == plain.settings
    two, first = (Predictor(cops_weights, references=each, k_shot=2, device="cpu") for each in (files, parts))
    assert two.settings == first.settings == Predictor(cops_weights, references=files[:2]).settings != folder.settings


def test_references_that_are_not_there_are_named(cops_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    Image.new("RGB", (9, 9)).save(tmp_path / "here.png")
    with pytest.raises(InputError, match=r"gone\.png"):
        Predictor(cops_weights, references=tmp_path)


def test_a_predictor_stays_in_its_process(cops_weights: Path) -> None:
    with pytest.raises(InputError, match="make one in each process"):
        pickle.dumps(Predictor(cops_weights, device="cpu"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_is_refused_before_it_hangs(cops_weights: Path, parts: Path) -> None:
    global _INHERITED
    _INHERITED = Predictor(cops_weights, device="cpu")
    file = sorted(parts.iterdir())[0]
    _INHERITED(file)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert "make one in each process" in pool.apply_async(_use_inherited, [file]).get(60)


_INHERITED: Predictor | None = None


def _use_inherited(path: Path) -> str:
    assert _INHERITED is not None
    try:
        return str(_INHERITED(path))
    except InputError as error:
        return str(error)


def test_a_reference_among_the_pictures_is_told(
    cops_weights: Path, parts: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, *_ = sorted(parts.iterdir())
    Predictor(cops_weights, references=[first], device="cpu")([first, second])
    (warning,) = [record.message for record in caplog.records if "the same as a reference image" in record.message]
    assert first.name in warning and second.name not in warning


def test_threads_share_a_predictor(cops_weights: Path, parts: Path) -> None:
    files = sorted(parts.iterdir())
    detector = Predictor(cops_weights, device="cpu")
    expected = {path: detector(path).score for path in files}
    found: list[bool] = []

    def work(path: Path) -> None:
        found.extend(detector(path).score == expected[path] for _ in range(5))

    threads = [threading.Thread(target=work, args=(path,)) for path in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 5 * len(files) and all(found)


def test_a_closed_predictor_says_so(cops_weights: Path, parts: Path) -> None:
    with Predictor(cops_weights, device="cpu") as detector:
        detector(sorted(parts.iterdir())[0])
    with pytest.raises(InputError, match="closed"):
        detector(sorted(parts.iterdir())[0])


def test_regions_mask_and_picture_belong_together(cops_weights: Path, parts: Path, tmp_path: Path) -> None:
    detector = Predictor(cops_weights, device="cpu")
    result = next(each for each in detector(sorted(parts.iterdir())) if each.regions)
    assert sum(region.area for region in result.regions) == result.mask.sum()
    left, top, right, bottom = result.regions[0].box
    assert result.regions[0].peak == pytest.approx(result.full_map[top:bottom, left:right].max())
    assert f"score {result.score:.3f}, threshold 0.5: " in str(result)
    assert result.save(tmp_path / "a/shown.jpg").is_file()
    with pytest.raises(InputError, match="no suffix of an image format; give one such as shown.png"):
        result.save(tmp_path / "shown")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        result.save(tmp_path / "file/shown.png")
    with pytest.raises(InputError, match="no suffix of an image format"):
        result.save(tmp_path / "shown.fits")  # which Pillow reads only


def test_an_uncalibrated_threshold_is_told_once(
    cops_weights: Path, parts: Path, caplog: pytest.LogCaptureFixture
) -> None:
    detector = Predictor(cops_weights, tiles="40", device="cpu")
    with caplog.at_level(logging.WARNING):
        detector(sorted(parts.iterdir())[:2])
        detector(sorted(parts.iterdir())[0])
    assert [record.message for record in caplog.records if "not calibrated" in record.message].__len__() == 1
    assert "not calibrated" in str(detector(sorted(parts.iterdir())[0]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "CoPs"}, "did you mean 'CoPS'"),
        ({"model": "CoPS"}, "no trained weights"),
        ({"model": "missing.safetensors"}, "missing.safetensors does not exist"),
        ({"model": "missing.onnx"}, "missing.onnx does not exist"),
        ({"weights": "x.safetensors"}, "besides the file"),
        ({"device": "abacus"}, "The device 'abacus' cannot be used"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"max_pixels": 0}, "max_pixels=0"),
        ({"tiles": "big"}, "tiles='big' is not known"),
        ({"references": "nowhere"}, "nowhere, does not exist"),
        ({"references": ""}, "references='' is no folder"),
        ({"model": torch.nn.Identity()}, "Identity is none of the models"),
        ({"model": CoPS}, "CoPS is a class; give its name"),
    ],
)
def test_bad_arguments_end_in_a_sentence(arguments: dict[str, Any], message: str, cops_weights: Path) -> None:
    if arguments.get("model") == "CoPS":
        arguments = {**arguments, "backbone": "tiny"}
    with pytest.raises(InputError, match=message):
        Predictor(**{"model": cops_weights, **arguments})


@pytest.mark.parametrize("name", ["w.safetensors", "w.ckpt", "w.onnx", "w.xml", "W.ONNX"])
def test_files_of_other_programs_end_in_a_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(InputError, match=name):
        Predictor(tmp_path / name)
