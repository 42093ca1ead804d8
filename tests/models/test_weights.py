"""Test the use of weight files and checkpoints: loading, resuming, testing and fine-tuning."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from anomalib.engine import Engine
from safetensors.torch import load_file

from anomalib_cops import AdaCLIP, AnomalyCLIP, CoPS
from anomalib_cops.errors import InputError
from anomalib_cops.registry import MODELS
from tests.models.cases import lightning_class, make
from tests.models.runs import Trained, engine, transfer
from tests.models.weight_files import mvtec_bottle


def test_a_checkpoint_brings_its_settings_and_its_figures(narrow: Any, tmp_path: Path) -> None:
    _, checkpoint, _, figures = narrow
    for number, bare in enumerate((CoPS(backbone="tiny"), CoPS(weights=str(checkpoint)))):
        again = engine(tmp_path / str(number)).test(bare, datamodule=transfer(), ckpt_path=checkpoint)[0]
        assert bare.model.settings.neighbourhood == 1
        assert {name: again[name] for name in figures} == pytest.approx(figures)


def test_a_checkpoint_brings_its_image_size(tmp_path: Path) -> None:
    run = engine(tmp_path / "a", max_epochs=1, limit_train_batches=1)
    run.fit(AnomalyCLIP(backbone="tiny", image_size=96, visualizer=False), datamodule=transfer(synthetic_samples=4))
    bare = AnomalyCLIP(backbone="tiny", visualizer=False)
    data = transfer(synthetic_samples=4)
    engine(tmp_path / "b").test(bare, datamodule=data, ckpt_path=run.best_model_path)
    assert bare.clip.image_size == 96
    batch = next(iter(data.test_dataloader()))
    assert batch.image.shape[-2:] == (96, 96), "the data are resized to the old size first, then to the new one"


@pytest.mark.parametrize("name", MODELS)
def test_training_with_weights_goes_on_from_them(name: str, tmp_path: Path) -> None:
    kind = lightning_class(name)
    first = kind(backbone="tiny", seed=0, visualizer=False)
    path = first.save_weights(tmp_path / "w.safetensors")
    model = kind(weights=str(path), seed=0, visualizer=False)
    data = transfer(synthetic_samples=4, source_categories=["leather"])
    engine(tmp_path, max_epochs=1, limit_train_batches=1).fit(model, datamodule=data)
    changes = [(after - first.trained_state()[key]).abs().max() for key, after in model.trained_state().items()]
    assert 0 < max(changes) < 0.5, "one small step away from where it began"


def test_normal_images_alone_leave_weights_as_they_are(
    narrow: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = mvtec_bottle(tmp_path)
    model = CoPS(weights=str(narrow[2]), visualizer=False)
    before = model.trained_state()["context"].clone()
    with caplog.at_level(logging.WARNING):
        figures = engine(tmp_path / "run").train(model, datamodule=data)[0]
    assert "CoPS keeps its weights" in caplog.text
    assert torch.equal(model.trained_state()["context"], before) and "image_AUROC" in figures
    assert not list((tmp_path / "run").rglob("*.safetensors"))
    with pytest.raises(InputError, match="learns from normal and anomalous images"):
        engine(tmp_path / "other").fit(CoPS(backbone="tiny"), datamodule=data)


def test_weight_files_and_checkpoints_are_taken_for_each_other(narrow: Any, tmp_path: Path) -> None:
    model, checkpoint, path, figures = narrow
    restored = CoPS(weights=str(checkpoint), visualizer=False)
    assert torch.equal(restored.trained_state()["context"], model.trained_state()["context"])
    assert restored.post_processor.image_threshold == model.post_processor.image_threshold
    bare = CoPS(backbone="tiny", visualizer=False)
    again = engine(tmp_path).test(bare, datamodule=transfer(), ckpt_path=path)[0]
    assert {name: again[name] for name in figures} == pytest.approx(figures)
    assert bare.post_processor.image_threshold == model.post_processor.image_threshold
    assert CoPS.load_from_checkpoint(path).has_trained_weights
    with pytest.raises(InputError, match="has no state of the optimiser; give it as weights="):
        engine(tmp_path).fit(CoPS(backbone="tiny"), datamodule=transfer(), ckpt_path=path)


def test_the_home_folder_is_understood_on_all_roads(
    narrow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    narrow[0].save_weights("~/a.safetensors")
    assert (tmp_path / "home" / "a.safetensors").is_file() and not Path("~").exists()
    assert CoPS(weights="~/a.safetensors").has_trained_weights
    bare = CoPS(backbone="tiny", visualizer=False)
    engine(tmp_path).test(bare, datamodule=transfer(synthetic_samples=4), ckpt_path="~/a.safetensors")
    assert bare.model.settings.neighbourhood == 1


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w", "w.ckpt"])
def test_weights_are_saved_under_a_name_that_can_be_read_again(narrow: Any, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"saved as \.safetensors files"):
        narrow[0].save_weights(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_empty_words_are_not_given() -> None:
    model = CoPS(backbone="tiny", pretrained="", weights="", preset="", feature_cache="")
    assert not model.has_trained_weights and not model.cache_options.feature_cache


def test_a_trained_model_is_trained_also_in_another_engine(
    trained: Trained, image_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert trained.model.has_trained_weights
    with caplog.at_level(logging.WARNING, logger="anomalib_cops"):
        engine(tmp_path).predict(trained.model, data_path=image_folder / "a_rgb.png")
    assert "no trained weights" not in caplog.text


def test_one_engine_trains_once_and_says_so(tmp_path: Path) -> None:
    run = engine(tmp_path, max_epochs=1, limit_train_batches=1)
    data = {"synthetic_samples": 4, "source_categories": ["leather"]}
    first = AnomalyCLIP(backbone="tiny", visualizer=False)
    run.fit(first, datamodule=transfer(**data))
    for again in (first, AdaCLIP(backbone="tiny", visualizer=False)):
        with pytest.raises(InputError, match="has trained for 1 epochs already .* make a new Engine"):
            run.fit(again, datamodule=transfer(**data))
    assert not list(tmp_path.rglob("adaclip.safetensors"))


def test_a_second_model_in_one_engine_is_compared_with_its_own_checkpoint(narrow: Any, tmp_path: Path) -> None:
    run = engine(tmp_path)
    data = transfer(synthetic_samples=4)
    run.test(CoPS(backbone="tiny", visualizer=False), datamodule=data, ckpt_path=narrow[1])
    other = AnomalyCLIP(backbone="tiny", visualizer=False)
    with pytest.raises(InputError, match="holds weights of CoPS, not of AnomalyCLIP"):
        run.test(other, datamodule=data, ckpt_path=narrow[1])
    path = other.save_weights(tmp_path / "other.safetensors")
    run.test(other, datamodule=data, ckpt_path=path)


def test_a_resumed_training_reports_what_it_reached(narrow: Any, tmp_path: Path) -> None:
    _, checkpoint, _, first = narrow
    model = CoPS(backbone="tiny", seed=0, visualizer=False)
    run = engine(tmp_path, max_epochs=4)
    reported = run.train(model, datamodule=transfer(), ckpt_path=checkpoint)[0]
    new = next(tmp_path.rglob("cops.safetensors"))
    assert torch.equal(load_file(new)["context"], model.trained_state()["context"])
    true = engine(tmp_path / "b").test(CoPS(weights=str(new), visualizer=False), datamodule=transfer())[0]
    assert dict(reported) == pytest.approx({name: true[name] for name in reported})
    assert dict(reported) != pytest.approx({name: first[name] for name in reported})
    old = run.test(model, datamodule=transfer(), ckpt_path=checkpoint)[0]
    assert dict(old) == pytest.approx({name: first[name] for name in old}), "who asks for the old one gets it"


def test_a_resumed_training_with_nothing_left_says_so(narrow: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"trained for 1 epochs, and max_epochs is 1, so nothing was trained"):
        engine(tmp_path, max_epochs=1).fit(CoPS(backbone="tiny"), datamodule=transfer(), ckpt_path=narrow[1])
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_test_before_the_first_training_leaves_room_for_it(narrow: Any, tmp_path: Path) -> None:
    data = {"synthetic_samples": 4, "source_categories": ["wood"]}
    engine(tmp_path).test(CoPS(weights=str(narrow[2])), datamodule=transfer(**data))
    folder = tmp_path / "CoPS" / "ZeroShotTransfer"
    assert (folder / "latest").is_symlink() and list((folder / "v0").rglob("*.png"))
    engine(tmp_path, max_epochs=1, limit_train_batches=1).fit(
        CoPS(backbone="tiny", visualizer=False), datamodule=transfer(**data)
    )
    assert (folder / "latest").resolve().name == "v1" and list((folder / "v1").rglob("*.safetensors"))


@pytest.mark.parametrize("given", [{"max_epochs": 1000}, {"max_steps": 3}, {}])
def test_a_thousand_epochs_are_trained_if_asked_for(given: dict[str, int], tmp_path: Path) -> None:
    model = AnomalyCLIP(backbone="tiny", epochs=2, visualizer=False)
    run = engine(tmp_path, limit_train_batches=1, limit_val_batches=0, **given)
    if "max_epochs" in given:
        stop_after(model, epochs=4)
    run.fit(model, datamodule=transfer(synthetic_samples=4, source_categories=["leather"]))
    assert run.trainer.current_epoch == {"max_epochs": 4, "max_steps": 3}.get(next(iter(given), ""), 2)


def stop_after(model: Any, epochs: int) -> None:
    def stop() -> None:
        model.trainer.should_stop = model.trainer.current_epoch + 1 >= epochs

    model.on_train_epoch_end = stop


@pytest.mark.parametrize("name", ["CoPS", "AnomalyCLIP"])
def test_a_diverged_training_stops_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    model = lightning_class(name)(backbone="tiny", epochs=3, learning_rate=1e30, visualizer=False)
    with pytest.raises(InputError, match=r"has diverged: the loss is \S+ in epoch 1, batch \d+; lower learning_rate"):
        engine(tmp_path).train(model, datamodule=transfer())
    assert not [*tmp_path.rglob("*.safetensors"), *tmp_path.rglob("*.ckpt")]
    with torch.no_grad():
        model.model.context[0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="NaN or infinite values in context; nothing was written"):
        model.save_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["CoPS", "AnomalyCLIP", "AdaCLIP"])
@pytest.mark.parametrize("road", ["copy to data", "other data", "in place without record", "swapped"])
def test_remembered_text_does_not_survive_a_change_of_weights(name: str, road: str, clip: Any, images: Any) -> None:
    model = make(name, clip, **({"prompts": "S"} if name == "AdaCLIP" else {}))
    prompts = next(p for key, p in model.named_parameters() if key in ("context", "text_prompts.static.1"))
    before = model(images).pred_score
    other = prompts.detach() * 2
    if road == "copy to data":
        prompts.data.copy_(other)
    elif road == "other data":
        prompts.data = other
    elif road == "in place without record":
        with torch.no_grad(), torch.autograd._unsafe_preserve_version_counter(prompts):
            prompts.mul_(2)
    else:
        prompts.data, other = other, prompts.data
    assert not torch.equal(model(images).pred_score, before)
    prompts.data.mul_(0.5)
    torch.testing.assert_close(model(images).pred_score, before, atol=1e-5, rtol=0)


def test_the_command_line_makes_the_model_that_a_checkpoint_needs(narrow: Any, tmp_path: Path) -> None:
    from anomalib.cli import cli

    from anomalib_cops.plugin import register

    register()
    arguments = ["test", "--model", "CoPS", "--ckpt_path", str(narrow[1]), "--data", "ZeroShotTransfer"]
    made = cli.AnomalibCLI([*arguments, "--trainer.logger", "false"], run=False)
    assert made.model.clip.name == "tiny" and made.model.model.settings.neighbourhood == 1
    assert isinstance(made.engine, Engine)
