"""Test that every input CoPS cannot use ends in one sentence."""

import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from anomalib_cops import CoPS, InputError, ZeroShotTransfer
from tests.models.runs import engine, predict, transfer


def test_training_data_without_anomalies_is_refused_in_words(tmp_path):
    class OnlyNormal(ZeroShotTransfer):
        def _setup(self, stage=None):
            super()._setup(stage)
            samples = self.train_data.samples
            self.train_data = self.train_data.subsample(samples.index[samples.label_index == 0].tolist())

    data = OnlyNormal(synthetic_samples=8, num_workers=0)
    with pytest.raises(InputError, match="auxiliary data set .* ZeroShotTransfer"):
        engine(tmp_path).fit(CoPS(backbone="tiny"), datamodule=data)


def test_training_without_data_is_refused_in_words(tmp_path):
    with pytest.raises(InputError, match="ZeroShotTransfer"):
        engine(tmp_path).fit(CoPS(backbone="tiny"))


def test_untrained_models_warn_before_they_are_used(image_folder, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="anomalib_cops"):
        predict(CoPS(backbone="tiny", visualizer=False), tmp_path, image_folder / "a_rgb.png")
    assert "has no trained weights" in caplog.text


def test_unreadable_images_are_named_before_prediction_starts(trained_cops, image_folder, tmp_path):
    (image_folder / "f_empty.png").write_bytes(b"")
    (image_folder / "g_text.png").write_text("not an image")
    whole = (image_folder / "a_rgb.png").read_bytes()
    (image_folder / "h_cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"f_empty\.png.*g_text\.png.*h_cut\.png"):
        predict(trained_cops.model, tmp_path, image_folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "vsa"}, "Unknown CoPS preset 'vsa'; did you mean 'visa'"),
        ({"image_size": 100}, "not a multiple of the 12-pixel patches .* 96 or 108"),
        ({"alpha": 1.5}, r"alpha=1.5 must be in \[0, 1\]"),
        ({"neighbourhood": 4}, "neighbourhood=4 must be odd"),
        ({"deep_depth": 10}, "deep_depth=10 does not fit the 10 text blocks"),
        ({"layers": [99]}, r"layers=\[99\] .* do not fit the . vision blocks"),
        ({"n_prototypes": 80}, "does not fit the text encoder's 77 tokens"),
        ({"weights": "missing.safetensors"}, "missing.safetensors does not exist"),
    ],
)
def test_unusable_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        CoPS(**{"backbone": "tiny", **arguments})


def test_weights_of_another_backbone_are_refused_before_that_is_loaded(trained_cops, tmp_path):
    path = trained_cops.model.save_weights(tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="trained on backbone 'tiny' at 120 pixels .* 'ViT-B-16'"):
        CoPS(backbone="ViT-B-16", weights=str(path))
    with pytest.raises(InputError, match="at 120 pixels .* at 96"):
        CoPS(weights=str(path), image_size=96)


def test_weights_with_nan_are_refused(trained_cops, tmp_path):
    path = trained_cops.model.save_weights(tmp_path / "w.safetensors")
    tensors = load_file(path)
    tensors["context"][0, 0, 0] = float("nan")
    file = trained_cops.model.weight_file(path)
    save_file(tensors, path, metadata=file.metadata())
    with pytest.raises(InputError, match="NaN or infinite values in context"):
        CoPS(weights=str(path))


class Exploit:
    def __reduce__(self):
        return (pytest.fail, ("code of a checkpoint was run",))


@pytest.mark.parametrize("kind", ["cut", "text", "foreign", "code", "other size", "missing"])
def test_checkpoints_that_cannot_be_used_are_refused_on_every_path(trained_cops, tmp_path, kind):
    good = Path(trained_cops.engine.best_model_path)
    path = tmp_path / "model.ckpt"
    if kind == "cut":
        path.write_bytes(good.read_bytes()[:5000])
    elif kind == "text":
        path.write_text("hello")
    elif kind == "foreign":
        torch.save({"state_dict": {}, "pytorch-lightning_version": "2.6"}, path)
    elif kind == "code":
        torch.save({"state_dict": {}, "x": Exploit()}, path)
    elif kind == "other size":
        content = torch.load(good, weights_only=True)
        content["anomalib_cops"]["image_size"] = "96"
        torch.save(content, path)
    with pytest.raises(InputError, match=r"model\.ckpt|The checkpoint"):
        CoPS.load_from_checkpoint(path)
    with pytest.raises(InputError, match=r"model\.ckpt|The checkpoint"):
        engine(tmp_path).test(CoPS(backbone="tiny", image_size=120), datamodule=transfer(), ckpt_path=path)
