"""Test CoPS inside anomalib: settings, thresholds, epochs and unusual images."""

import numpy as np
import pytest
import torch
from PIL import Image

from anomalib_cops import CoPS, InputError
from anomalib_cops.host.post_processing import TransferPostProcessor
from tests.models.cases import method
from tests.models.runs import engine, predict, transfer


def test_settings_of_a_weight_file_hold_unless_given(tmp_path):
    model = CoPS(backbone="tiny", preset="mvtec", states="static", n_samples=3)
    path = str(model.save_weights(tmp_path / "w.safetensors"))
    restored = CoPS(weights=path, beta=0.5).model.settings
    assert (restored.neighbourhood, restored.alpha, restored.states, restored.n_samples) == (3, 0.35, "static", 3)
    assert restored.beta == 0.5


def test_zero_shot_models_take_no_threshold_from_the_target(trained_cops, tmp_path):
    model = trained_cops.model
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


def test_sixteen_bits_are_not_clipped_to_white(trained_cops, tmp_path):
    rng = np.random.default_rng(4)
    levels = rng.integers(0, 256, (50, 60), np.uint8)
    folder = tmp_path / "both"
    folder.mkdir()
    Image.fromarray(levels).save(folder / "8.png")
    Image.fromarray(levels.astype(np.uint16) * 257).save(folder / "16.png")
    deep, shallow = predict(trained_cops.model, tmp_path, folder)
    assert "16.png" in deep.image_path[0]
    assert torch.equal(deep.pred_score, shallow.pred_score)
    assert torch.equal(deep.anomaly_map, shallow.anomaly_map)


def test_large_images_are_predicted(trained_cops, tmp_path):
    Image.fromarray(np.zeros((6000, 8000), np.uint8)).save(tmp_path / "large.png")
    (batch,) = predict(trained_cops.model, tmp_path / "out", tmp_path / "large.png")
    assert torch.isfinite(batch.pred_score).all()


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


def test_published_weights_have_no_posterior(trained_cops, tmp_path):
    keys, state = method("CoPS").keys, trained_cops.model.trained_state()
    official = {}
    for name, value in state.items():
        if not name.startswith(keys.optional):
            for index, key in enumerate(keys.names(name)):
                part = value[index] if name in keys.stacked else value
                official[key] = part[None, None] if key.startswith("ctx_") else part
    assert len(official) == 28
    path = tmp_path / "epoch_10.pth"
    torch.save({"prompt_learner": official}, path)
    assert CoPS(backbone="tiny", weights=str(path)).has_trained_weights
    with pytest.raises(InputError, match="no VAE encoder"):
        CoPS(backbone="tiny", weights=str(path), test_categories="posterior")
