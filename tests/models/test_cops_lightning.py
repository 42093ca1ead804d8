"""CoPS inside anomalib: training, testing, prediction, files and bad input, on the embedded tiny CLIP."""

from pathlib import Path

import numpy as np
import pytest
import torch
from anomalib import LearningType
from anomalib.models import get_model
from lightning.pytorch import seed_everything
from PIL import Image

from anomalib_cops import CoPS, InputError
from anomalib_cops.models.cops.official import KEYS
from anomalib_cops.post_processing import TransferPostProcessor
from tests.models.runs import engine, predict, transfer


def test_training_changes_prompts_and_not_one_bit_of_the_encoder(trained):
    model, _, _, before, _ = trained
    after = model.clip.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    fresh = CoPS(backbone="tiny")
    assert not torch.equal(model.model.context, fresh.model.context)


def test_reports_the_figures_of_the_papers(trained):
    figures = trained[2]
    names = {"image_AUROC", "image_AUPR", "image_F1Max", "pixel_AUROC", "pixel_AUPR", "pixel_AUPRO"}
    assert names <= set(figures)
    assert all(0 <= figures[name] <= 1 for name in names)


def test_checkpoint_holds_what_was_trained_and_comes_back(trained, images, tmp_path):
    model, run, _, _, folder = trained
    path = Path(run.best_model_path)
    assert path.stat().st_size < 20e6
    state = torch.load(path, weights_only=True)["state_dict"]
    assert not any(name.startswith("model.clip.") for name in state)
    restored = CoPS.load_from_checkpoint(path, visualizer=False)
    assert restored.learning_type == LearningType.ZERO_SHOT
    for name, value in model.trained_state().items():
        assert torch.equal(value, restored.trained_state()[name]), name
    ours, theirs = (predict(each, tmp_path / str(i), images) for i, each in enumerate((model, restored)))
    assert [batch.pred_score for batch in ours] == [batch.pred_score for batch in theirs]


def test_engine_tests_from_a_checkpoint_with_the_same_figures(trained, tmp_path):
    _, run, figures, _, _ = trained
    other = CoPS(backbone="tiny", visualizer=False)
    again = engine(tmp_path).test(other, datamodule=transfer(), ckpt_path=run.best_model_path)[0]
    assert again == pytest.approx({name: figures[name] for name in again})


def test_weight_file_is_small_complete_and_makes_the_model_zero_shot(trained, images, tmp_path):
    model, *_, folder = trained
    path = model.save_weights(tmp_path / "deep" / "cops.safetensors")
    assert path.stat().st_size < 20e6
    assert path.stat().st_mode & 0o044 == 0o044, "others cannot read it"
    restored = CoPS(weights=str(path), visualizer=False)
    assert restored.learning_type == LearningType.ZERO_SHOT
    assert restored.clip.name == "tiny"
    assert restored.model.settings == model.model.settings
    assert restored.post_processor.image_threshold == model.post_processor.image_threshold
    for ours, theirs in zip(predict(model, tmp_path, images), predict(restored, tmp_path, images), strict=True):
        assert torch.equal(ours.pred_score, theirs.pred_score)
        assert torch.equal(ours.anomaly_map, theirs.anomaly_map)


def test_training_leaves_a_weight_file_beside_the_checkpoint(trained):
    found = list(trained[-1].rglob("cops.safetensors"))
    assert len(found) == 1
    assert CoPS(weights=str(found[0])).has_trained_weights


def test_settings_of_a_weight_file_hold_unless_given(tmp_path):
    model = CoPS(backbone="tiny", preset="mvtec", states="static", n_samples=3)
    path = str(model.save_weights(tmp_path / "w.safetensors"))
    restored = CoPS(weights=path, beta=0.5).model.settings
    assert (restored.neighbourhood, restored.alpha, restored.states, restored.n_samples) == (3, 0.35, "static", 3)
    assert restored.beta == 0.5


def test_learning_type_follows_the_weights():
    assert CoPS(backbone="tiny").learning_type == LearningType.ONE_CLASS


def test_zero_shot_models_take_no_threshold_from_the_target(trained, tmp_path):
    model, *_ = trained
    path = model.save_weights(tmp_path / "w.safetensors")
    restored = CoPS(weights=str(path), visualizer=False)
    threshold = restored.post_processor.image_threshold.clone()
    engine(tmp_path).test(restored, datamodule=transfer())  # anomalib validates zero-shot models first
    assert torch.equal(restored.post_processor.image_threshold, threshold)


def test_user_decides_on_epochs_and_the_model_bounds_them_otherwise(tmp_path):
    run = engine(tmp_path / "a", max_epochs=2)
    run.fit(CoPS(backbone="tiny"), datamodule=transfer())
    assert run.trainer.current_epoch == 2
    run = engine(tmp_path / "b")
    run.fit(CoPS(backbone="tiny", epochs=1), datamodule=transfer())
    assert run.trainer.current_epoch == 1


def test_same_seed_same_prompts_bit_for_bit(tmp_path):
    states = []
    for attempt in ("a", "b"):
        seed_everything(7)
        model = CoPS(backbone="tiny")
        engine(tmp_path / attempt, max_epochs=1).fit(model, datamodule=transfer())
        states.append(model.trained_state())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_prediction_draws_pictures_and_does_not_depend_on_company(trained, images, tmp_path):
    model, *_ = trained
    path = model.save_weights(tmp_path / "w.safetensors")
    together = {Path(b.image_path[0]).name: b for b in predict(CoPS(weights=str(path)), tmp_path / "all", images)}
    assert len(together) == 5
    assert len(list((tmp_path / "all").rglob("*.png"))) == 5
    for batch in together.values():
        assert batch.anomaly_map.shape[-2:] == (120, 120)
        assert torch.isfinite(batch.anomaly_map).all() and 0 <= batch.pred_score.item() <= 1
    alone = predict(CoPS(weights=str(path)), tmp_path / "one", images / "c_rgba.png")[0]
    assert torch.equal(alone.pred_score, together["c_rgba.png"].pred_score)


def test_sixteen_bits_are_not_clipped_to_white(trained, tmp_path):
    rng = np.random.default_rng(4)
    levels = rng.integers(0, 256, (50, 60), np.uint8)
    folder = tmp_path / "both"
    folder.mkdir()
    Image.fromarray(levels).save(folder / "8.png")
    Image.fromarray(levels.astype(np.uint16) * 257).save(folder / "16.png")
    deep, shallow = predict(trained[0], tmp_path, folder)
    assert "16.png" in deep.image_path[0]
    assert torch.equal(deep.pred_score, shallow.pred_score)
    assert torch.equal(deep.anomaly_map, shallow.anomaly_map)


def test_large_images_are_predicted(trained, tmp_path):
    Image.fromarray(np.zeros((6000, 8000), np.uint8)).save(tmp_path / "large.png")
    (batch,) = predict(trained[0], tmp_path / "out", tmp_path / "large.png")
    assert torch.isfinite(batch.pred_score).all()


def test_get_model_by_name_and_by_path():
    for given in ("cops", "CoPS", {"class_path": "CoPS", "init_args": {}}, {"class_path": "anomalib_cops.CoPS"}):
        init = given.get("init_args", {}) if isinstance(given, dict) else {}
        if isinstance(given, dict):
            given = {**given, "init_args": {**init, "backbone": "tiny"}}
            assert isinstance(get_model(given), CoPS)
        else:
            assert isinstance(get_model(given, backbone="tiny"), CoPS)


def test_normalisation_is_strictly_increasing_and_fixes_the_ends():
    scores = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    for threshold in (0.03, 0.5, 0.97):
        bent = TransferPostProcessor._normalize(scores, scores[0], scores[-1], torch.tensor(threshold).double())
        assert (bent.diff() > 0).all()
        assert bent[0] == 0 and bent[-1] == pytest.approx(1)
        at = TransferPostProcessor._normalize(
            scores.new_tensor([threshold]), scores[0], scores[-1], torch.tensor(threshold)
        )
        assert at.item() == pytest.approx(0.5)
    untouched = TransferPostProcessor._normalize(scores, scores[0], scores[-1], torch.tensor(float("nan")))
    assert torch.equal(untouched, scores)


def test_official_checkpoint_loads_and_gives_the_same_scores(trained, images, tmp_path):
    model, *_ = trained
    official = {}
    for name, value in model.trained_state().items():
        if name.startswith(("vae.hidden", "vae.mean", "vae.log_variance")):
            continue
        for index, key in enumerate(KEYS.names(name)):
            part = value[index] if name in KEYS.stacked else value
            official[key] = part[None, None] if key.startswith("ctx_") else part
    assert len(official) == 28
    path = tmp_path / "epoch_10.pth"
    torch.save({"prompt_learner": official}, path)
    restored = CoPS(backbone="tiny", weights=str(path), visualizer=False)
    restored.post_processor = model.post_processor
    assert restored.learning_type == LearningType.ZERO_SHOT
    for ours, theirs in zip(predict(model, tmp_path, images), predict(restored, tmp_path, images), strict=True):
        assert torch.equal(ours.pred_score, theirs.pred_score)
    with pytest.raises(InputError, match="no VAE encoder"):
        CoPS(backbone="tiny", weights=str(path), test_categories="posterior")
