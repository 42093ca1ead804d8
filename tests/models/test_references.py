"""Test reference images with every method: they change scores through the memory alone, and stay in all files."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from anomalib.data import Folder
from sklearn.metrics import roc_auc_score

from anomalib_cops import CoPS, InputError
from anomalib_cops.openvino_import import openvino_core
from tests.models.cases import CASES, lightning_class
from tests.models.good_images import write
from tests.models.runs import Trained, engine, predict, transfer


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of four good pictures."""
    folder = tmp_path_factory.mktemp("references") / "good"
    write(folder, 4)
    return folder


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of pictures to inspect: three good ones and three defective ones."""
    folder = tmp_path_factory.mktemp("inspected") / "parts"
    write(folder, 3, first=50)
    write(folder, 3, first=60, anomalous=True)
    return folder


def scores(model: Any, folder: Path, parts: Path) -> torch.Tensor:
    return torch.cat([batch.pred_score.flatten() for batch in predict(model, folder, parts)])


def raw(model: Any, seed: int = 0, count: int = 3) -> Any:
    images = torch.randn(count, 3, 120, 120, generator=torch.Generator().manual_seed(seed))
    return model.model.eval()(images)


def test_without_references_nothing_changes_and_with_them_scores_do(
    make: Callable[..., Any], good: Path, parts: Path, tmp_path: Path
) -> None:
    plain, referred = make(), make(few_shot_source=str(good))
    before = {name: value.clone() for name, value in referred.trained_state().items()}
    zero_shot = raw(plain)
    found = scores(referred, tmp_path, parts)
    assert len(referred.references.files) == 4 and ((found >= 0) & (found <= 1)).all()
    assert all(torch.equal(value, before[name]) for name, value in referred.trained_state().items())
    few_shot = raw(referred)
    assert not torch.equal(few_shot.pred_score, zero_shot.pred_score)
    assert few_shot.anomaly_map.shape == zero_shot.anomaly_map.shape
    assert few_shot.anomaly_map.min() >= 0 and few_shot.anomaly_map.max() <= 1
    referred.drop_references()
    assert torch.equal(raw(referred).pred_score, zero_shot.pred_score)
    assert torch.equal(raw(referred).anomaly_map, zero_shot.anomaly_map)


def test_a_score_does_not_depend_on_its_batch_mates(make: Callable[..., Any], good: Path, trained: Trained) -> None:
    model = make()
    model.load_references(good)
    together = raw(model)
    alone = model.model(torch.randn(3, 3, 120, 120, generator=torch.Generator().manual_seed(0))[1:2])
    near = {"rtol": 0, "atol": CASES[trained.name].rounding}
    torch.testing.assert_close(alone.pred_score[0], together.pred_score[1], **near)
    torch.testing.assert_close(alone.anomaly_map[0], together.anomaly_map[1], rtol=0, atol=1e-4)
    again = make()
    again.load_references(good)
    assert torch.equal(raw(again).pred_score, together.pred_score), "the same bits every time"


def test_every_file_keeps_references_and_thresholds(
    make: Callable[..., Any], trained: Trained, good: Path, parts: Path, tmp_path: Path
) -> None:
    model = make()
    model.load_references(good)
    model.calibrate(None, false_alarm_rate=0.25)
    expected = scores(model, tmp_path, parts)
    saved = model.save_weights(tmp_path / "line.safetensors")
    run = engine(tmp_path)
    run.predict(model, data_path=parts)
    run.trainer.save_checkpoint(tmp_path / "line.ckpt")
    kind = lightning_class(trained.name)
    for loaded in (
        kind(weights=str(saved), visualizer=False),
        kind(weights=str(tmp_path / "line.ckpt"), visualizer=False),
        kind.load_from_checkpoint(tmp_path / "line.ckpt"),
    ):
        assert loaded.references == model.references and loaded.calibration == model.calibration
        assert torch.equal(scores(loaded, tmp_path, parts), expected)
    for file in (saved, tmp_path / "line.ckpt"):
        fresh = kind(backbone="tiny", visualizer=False)
        found = engine(tmp_path).predict(fresh, data_path=parts, ckpt_path=file)
        assert torch.equal(torch.cat([batch.pred_score.flatten() for batch in found]), expected)
        assert fresh.references == model.references and fresh.calibration == model.calibration


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("unchecked")
def test_exports_compare_with_the_references_too(
    make: Callable[..., Any], trained: Trained, good: Path, parts: Path, tmp_path: Path
) -> None:
    kind = {"CoPS": "openvino", "AdaCLIP": "onnx"}.get(trained.name)
    if kind is None:
        pytest.skip("the memory is the same part in the graphs of all methods, and a graph takes a minute")
    model = make(few_shot_source=str(good), **CASES[trained.name].exportable)
    model.calibrate(None, false_alarm_rate=0.25)
    path = engine(tmp_path).export(model, kind, export_root=tmp_path)
    images = torch.rand(2, 3, 120, 120, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model.eval()(images)
    if kind == "openvino":
        compiled = openvino_core().compile_model(path, "CPU", {"EXECUTION_MODE_HINT": "ACCURACY"})
        by_name = compiled(images.numpy())
        found = {name: by_name[name] for name in ("pred_score", "anomaly_map", "pred_label")}
    else:
        session = onnxruntime.InferenceSession(path)
        names = [each.name for each in session.get_outputs()]
        found = dict(zip(names, session.run(names, {session.get_inputs()[0].name: images.numpy()}), strict=True))
    np.testing.assert_allclose(found["pred_score"].ravel(), expected.pred_score.ravel(), atol=1e-4, rtol=0)
    np.testing.assert_allclose(found["anomaly_map"].squeeze(), expected.anomaly_map.squeeze(), atol=2e-4, rtol=0)
    assert (found["pred_label"].ravel().astype(bool) == expected.pred_label.ravel().numpy()).all()


def test_references_find_what_random_prompts_cannot(good: Path, parts: Path, tmp_path: Path) -> None:
    model = CoPS(backbone="tiny", few_shot_source=str(good), visualizer=False, seed=0)
    anomalous = [0] * 3 + [1] * 3
    found = predict(model, tmp_path, parts)
    labels = ["bad" in path for batch in found for path in batch.image_path]
    assert sorted(labels) == sorted(map(bool, anomalous))
    assert roc_auc_score(labels, torch.cat([batch.pred_score.flatten() for batch in found])) >= 8 / 9


def test_prototypes_of_saga_are_another_use_of_references(trained_cops: Trained, good: Path, tmp_path: Path) -> None:
    weights = str(trained_cops.model.save_weights(tmp_path / "w.safetensors"))
    plain, memory, prototypes = (CoPS(weights=weights, references=use) for use in ("memory", "memory", "prototypes"))
    memory.load_references(good)
    prototypes.load_references(good)
    maps = [raw(model).anomaly_map for model in (plain, memory, prototypes)]
    assert not torch.equal(maps[0], maps[2]) and not torch.equal(maps[1], maps[2])
    assert (maps[2] >= 0).all() and (maps[2] <= 1).all()
    with pytest.raises(InputError, match='references=prototypes must be "memory" where spatial is False'):
        CoPS(weights=weights, references="prototypes", spatial=False)


def test_k_shot_draws_normal_training_images_by_seed(trained_cops: Trained, good: Path, tmp_path: Path) -> None:
    write(tmp_path / "data" / "good", 6, first=20)
    write(tmp_path / "data" / "bad", 2, first=30, anomalous=True)
    arguments = {"name": "parts", "root": tmp_path / "data", "normal_dir": "good", "abnormal_dir": "bad"}
    weights = str(trained_cops.model.save_weights(tmp_path / "w.safetensors"))
    chosen = []
    for seed in (0, 0, 1):
        data = Folder(**arguments, eval_batch_size=4, num_workers=0, normal_split_ratio=0.2, seed=0)
        model = CoPS(weights=weights, k_shot=2, seed=seed, visualizer=False)
        engine(tmp_path).test(model, datamodule=data)
        chosen.append(model.references.files)
    assert chosen[0] == chosen[1] != chosen[2]
    assert all(Path(file).parent.name == "good" for files in chosen for file in files)
    assert not set(chosen[0]) & set(data.test_data.samples["image_path"])
    with pytest.raises(InputError, match=r"k_shot=9 asks for more images than the training split of Folder has, \d"):
        engine(tmp_path).test(CoPS(weights=weights, k_shot=9, visualizer=False), datamodule=data)
    with pytest.raises(InputError, match="ZeroShotTransfer has none there; give a folder of them as few_shot_source"):
        engine(tmp_path).test(CoPS(weights=weights, k_shot=1, visualizer=False), datamodule=transfer())
    with pytest.raises(InputError, match="there is none here; give a folder of good images as few_shot_source"):
        predict(CoPS(weights=weights, k_shot=1, visualizer=False), tmp_path, good)


def test_training_reads_the_references_again_and_never_learns_from_them(good: Path, tmp_path: Path) -> None:
    prompts = []
    for source in (None, str(good)):
        model = CoPS(backbone="tiny", seed=0, epochs=1, few_shot_source=source, visualizer=False)
        engine(tmp_path).train(model, datamodule=transfer(synthetic_samples=4))
        prompts.append(model.trained_state())
        assert (model.references is None) == (source is None)
        assert bool(model.post_processor._image_threshold.isnan()) == (source is not None)
    assert all(torch.equal(value, prompts[1][name]) for name, value in prompts[0].items())


def test_an_image_is_not_tested_against_itself(
    trained_cops: Trained, good: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = str(trained_cops.model.save_weights(tmp_path / "w.safetensors"))
    copies = tmp_path / "data" / "good"
    write(copies, 1)  # the same content as the first reference, in another place
    write(copies, 3, first=40)
    write(tmp_path / "data" / "bad", 2, first=30, anomalous=True)
    write(tmp_path / "data" / "train", 2, first=20)
    folders = {"normal_dir": "train", "normal_test_dir": "good", "abnormal_dir": "bad"}
    data = Folder(name="parts", root=tmp_path / "data", **folders, num_workers=0, eval_batch_size=4, seed=0)
    model = CoPS(weights=weights, few_shot_source=str(good), visualizer=False)
    with pytest.raises(InputError, match=r"good000.png of the test images is among the reference images"):
        engine(tmp_path).test(model, datamodule=data)
    predict(model, tmp_path, copies)
    assert "good000.png: the same as a reference image" in caplog.text


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (lambda folder: folder.mkdir(), "contains no images that could serve as reference images; add some"),
        (lambda _: None, "does not exist; check its path"),
        (
            lambda folder: write(folder, 1) and (folder / "broken.png").write_bytes(b"x"),
            "broken.png .*remove or replace",
        ),
    ],
)
def test_unusable_references_are_refused_in_a_sentence(
    prepare: Callable[[Path], Any], sentence: str, trained_cops: Trained, good: Path, tmp_path: Path
) -> None:
    prepare(tmp_path / "given")
    weights = str(trained_cops.model.save_weights(tmp_path / "w.safetensors"))
    with pytest.raises(InputError, match=sentence):
        predict(CoPS(weights=weights, few_shot_source=str(tmp_path / "given"), visualizer=False), tmp_path, good)
    assert not [path for path in tmp_path.rglob("scores.csv*") if path.read_text().count("\n") > 1]


@pytest.mark.parametrize(("argument", "value"), [("k_shot", -1), ("memory_limit", 0)])
def test_odd_numbers_are_refused(argument: str, value: int) -> None:
    with pytest.raises(InputError, match=f"{argument}={value} must be"):
        CoPS(backbone="tiny", **{argument: value})


def test_more_references_than_there_are_are_refused(trained_cops: Trained, good: Path) -> None:
    with pytest.raises(InputError, match="k_shot=5 asks for more images than .* has, 4; lower k_shot"):
        trained_cops.model.load_references(good, k_shot=5)


def test_a_defective_reference_is_named(
    trained_cops: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = CoPS(weights=str(trained_cops.model.save_weights(tmp_path / "w.safetensors")), visualizer=False)
    write(tmp_path / "good", 6, category="leather")
    model.load_references(tmp_path / "good")
    assert "unlike all others" not in caplog.text
    [bad] = write(tmp_path / "good", 1, first=5, anomalous=True, category="leather")
    with caplog.at_level(logging.WARNING):
        model.load_references(tmp_path / "good")
    assert f"Among the reference images, {bad}: unlike all others" in caplog.text


def test_references_of_another_shape_are_warned_of(
    trained_cops: Trained, parts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from PIL import Image

    wide = tmp_path / "wide"
    for path in map(Path, write(wide, 2)):
        with Image.open(path) as image:
            image.resize((128, 64)).save(path)
    weights = str(trained_cops.model.save_weights(tmp_path / "w.safetensors"))
    predict(CoPS(weights=weights, few_shot_source=str(wide), visualizer=False), tmp_path, parts)
    assert "The reference images have about 128 x 64 pixels and the images 64 x 64" in caplog.text
