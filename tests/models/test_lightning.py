"""Test every method inside anomalib: training, testing, prediction and files, on the embedded tiny CLIP."""

from pathlib import Path

import numpy as np
import pytest
import torch
from anomalib.data import ImageBatch
from anomalib.models import get_model
from lightning.pytorch import seed_everything
from PIL import Image

from anomalib_cops.errors import InputError
from anomalib_cops.registry import METHODS
from tests.models.cases import lightning_class, method
from tests.models.runs import Trained, engine, official_checkpoint, predict, transfer


def test_training_changes_prompts_and_not_one_bit_of_the_encoder(trained: Trained) -> None:
    after = trained.model.clip.state_dict()
    assert all(torch.equal(trained.before[name], after[name]) for name in after)
    seed_everything(3)
    fresh = lightning_class(trained.name)(backbone="tiny").trained_state()
    assert all(not torch.equal(value, fresh[name]) for name, value in trained.model.trained_state().items())


def test_reports_the_figures_of_the_papers(trained: Trained) -> None:
    names = {"image_AUROC", "image_AUPR", "image_F1Max", "pixel_AUROC", "pixel_AUPR", "pixel_AUPRO"}
    assert names <= set(trained.figures)
    assert all(0 <= trained.figures[name] <= 1 for name in names)


def test_checkpoint_holds_what_was_trained_and_comes_back(trained: Trained, image_folder: Path, tmp_path: Path) -> None:
    path = Path(trained.engine.best_model_path)
    assert path.stat().st_size < 50e6
    state = torch.load(path, weights_only=True)["state_dict"]
    assert not any(name.startswith("model.clip.") for name in state)
    restored = lightning_class(trained.name).load_from_checkpoint(path, visualizer=False)
    assert restored.has_trained_weights
    for name, value in trained.model.trained_state().items():
        assert torch.equal(value, restored.trained_state()[name]), name
    ours = predict(trained.model, tmp_path / "a", image_folder)
    theirs = predict(restored, tmp_path / "b", image_folder)
    assert [batch.pred_score for batch in ours] == [batch.pred_score for batch in theirs]


def test_engine_tests_from_a_checkpoint_with_the_same_figures(trained: Trained, tmp_path: Path) -> None:
    other = lightning_class(trained.name)(backbone="tiny", visualizer=False)
    path = trained.engine.best_model_path
    again = engine(tmp_path).test(other, datamodule=transfer(), ckpt_path=path)[0]
    assert again == pytest.approx({name: trained.figures[name] for name in again})


def test_weight_file_is_small_complete_and_makes_the_model_zero_shot(
    trained: Trained, image_folder: Path, tmp_path: Path
) -> None:
    path = trained.model.save_weights(tmp_path / "deep" / "w.safetensors")
    assert path.stat().st_size < 20e6
    assert path.stat().st_mode & 0o044 == 0o044, "others cannot read it"
    restored = lightning_class(trained.name)(weights=str(path), visualizer=False)
    assert restored.has_trained_weights
    assert restored.clip.name == "tiny"
    assert restored.model.settings == trained.model.model.settings
    assert restored.post_processor.image_threshold == trained.model.post_processor.image_threshold
    ours, theirs = predict(trained.model, tmp_path, image_folder), predict(restored, tmp_path, image_folder)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.pred_score, other.pred_score)
        assert torch.equal(one.anomaly_map, other.anomaly_map)


def test_training_leaves_a_weight_file_beside_the_checkpoint(trained: Trained) -> None:
    (found,) = trained.folder.rglob(f"{trained.name.lower()}.safetensors")
    assert lightning_class(trained.name)(weights=str(found)).has_trained_weights


@pytest.mark.parametrize("name", METHODS)
def test_same_seed_same_prompts_bit_for_bit(name: str, tmp_path: Path) -> None:
    states = []
    for attempt in ("a", "b"):
        seed_everything(7)
        model = lightning_class(name)(backbone="tiny")
        data = transfer(source_categories=["leather"])
        engine(tmp_path / attempt, max_epochs=1).fit(model, datamodule=data)
        states.append(model.trained_state())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_prediction_draws_pictures_and_does_not_depend_on_company(
    trained: Trained, image_folder: Path, tmp_path: Path
) -> None:
    model = lightning_class(trained.name)
    path = str(trained.model.save_weights(tmp_path / "w.safetensors"))
    together = {Path(b.image_path[0]).name: b for b in predict(model(weights=path), tmp_path / "all", image_folder)}
    assert len(together) == 5
    assert len(list((tmp_path / "all").rglob("*.png"))) == 5
    for batch in together.values():
        assert batch.anomaly_map.shape[-2:] == (120, 120)
        assert torch.isfinite(batch.anomaly_map).all() and 0 <= batch.pred_score.item() <= 1
    alone = predict(model(weights=path), tmp_path / "one", image_folder / "c_rgba.png")[0]
    assert torch.equal(alone.pred_score, together["c_rgba.png"].pred_score)


def test_images_without_meaning_end_in_a_sentence_or_a_score(trained: Trained, tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 30), 128, np.uint8)).save(tmp_path / "flat.png")
    (batch,) = predict(trained.model, tmp_path / "out", tmp_path / "flat.png")
    assert torch.isfinite(batch.pred_score).all() and torch.isfinite(batch.anomaly_map).all()


@pytest.mark.parametrize("name", METHODS)
def test_a_models_own_seed_decides_whatever_was_drawn_before(name: str, tmp_path: Path) -> None:
    prompts = []
    for run, seed in enumerate((5, 5, 6)):
        seed_everything(run)
        model = lightning_class(name)(backbone="tiny", seed=seed, visualizer=False)
        drawn = torch.rand(1)
        seed_everything(run)
        assert torch.equal(drawn, torch.rand(1)), "making a model used up numbers of the global stream"
        engine(tmp_path / str(run), max_steps=2).fit(model, datamodule=transfer(synthetic_samples=4))
        prompts.append(model.trained_state())
    first, second, other = prompts
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert any(not torch.equal(value, other[key]) for key, value in first.items())


@pytest.mark.parametrize("step", ["training_step", "validation_step", "predict_step"])
def test_images_with_nan_are_named(step: str) -> None:
    images = torch.zeros(2, 3, 120, 120)
    images[1, 0, 5, 5] = float("nan")
    batch = ImageBatch(
        image=images,
        gt_mask=torch.zeros(2, 120, 120),
        gt_label=torch.zeros(2, dtype=torch.int),
        image_path=["good.png", "folder/broken.tif"],
    )
    with pytest.raises(InputError, match=r"folder/broken\.tif holds NaN or infinite levels"):
        getattr(lightning_class("AnomalyCLIP")(backbone="tiny"), step)(batch, 0)


@pytest.mark.parametrize("name", METHODS)
def test_get_model_by_name_and_by_path(name: str) -> None:
    kind = lightning_class(name)
    assert isinstance(get_model(name, backbone="tiny"), kind)
    for path in (name, f"anomalib_cops.{name}"):
        assert isinstance(get_model({"class_path": path, "init_args": {"backbone": "tiny"}}), kind)


@pytest.mark.parametrize("trained", METHODS, indirect=True)
def test_official_checkpoint_loads_and_gives_the_same_scores(
    trained: Trained, image_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "epoch.pth"
    torch.save(official_checkpoint(trained.name, trained.model), path)
    restored = lightning_class(trained.name)(backbone="tiny", weights=str(path), visualizer=False)
    restored.post_processor = trained.model.post_processor
    assert restored.has_trained_weights
    ours, theirs = predict(trained.model, tmp_path, image_folder), predict(restored, tmp_path, image_folder)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.pred_score, other.pred_score)


@pytest.mark.parametrize("trained", METHODS, indirect=True)
def test_official_keys_must_match_both_ways(trained: Trained, tmp_path: Path) -> None:
    kind, entry = lightning_class(trained.name), method(trained.name).keys.entry
    official = official_checkpoint(trained.name, trained.model)
    official = official[entry] if entry else official
    first, second, *_ = sorted(name for name in official if official[name].ndim == 2)
    changed = {**official, "surplus": torch.zeros(2), second: torch.zeros(1, 1)}
    del changed[first]
    path = tmp_path / "epoch.pth"
    torch.save({entry: changed} if entry else changed, path)
    with pytest.raises(InputError) as caught:
        kind(backbone="tiny", weights=str(path))
    message = str(caught.value)
    assert f"missing: {first}" in message
    assert "unknown: surplus" in message
    assert f"of another shape: {second}" in message


def test_weights_of_another_method_are_refused(trained: Trained, tmp_path: Path) -> None:
    path = trained.model.save_weights(tmp_path / "w.safetensors")
    for name in METHODS:
        if name != trained.name:
            with pytest.raises(InputError, match=f"holds weights of {trained.name}, not of {name}"):
                lightning_class(name)(weights=str(path))
