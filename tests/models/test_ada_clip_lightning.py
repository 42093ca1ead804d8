"""Test AdaCLIP inside anomalib: official files, the optimiser, the source of class names."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from anomalib.data import ImageBatch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.utils.data import Subset

from anomalib_cops import AdaCLIP, InputError
from anomalib_cops.data.category_batch import CategoryBatch
from anomalib_cops.models.ada_clip.official import FIRST_TEXT_PROMPT, KEYS
from anomalib_cops.models.ada_clip.settings import AdaCLIPSettings
from tests.models.runs import engine, predict, transfer


def test_an_official_file_loads_and_gives_the_same_scores(tmp_path: Any) -> None:
    model = AdaCLIP(backbone="tiny")
    official = {KEYS.names(name)[0]: value for name, value in model.trained_state().items()}
    torch.save({**official, FIRST_TEXT_PROMPT: torch.zeros(5, 192)}, tmp_path / "pretrained_all.pth")
    restored = AdaCLIP(backbone="tiny", weights=str(tmp_path / "pretrained_all.pth"))
    assert restored.has_trained_weights
    picture = torch.randn(2, 3, 120, 120)
    assert torch.equal(restored.model(picture).pred_score, model.model(picture).pred_score)
    torch.save(official, tmp_path / "short.pth")
    with pytest.raises(InputError, match=f"missing: {FIRST_TEXT_PROMPT}"):
        AdaCLIP(backbone="tiny", weights=str(tmp_path / "short.pth"))


def test_trained_as_officially() -> None:
    model = AdaCLIP(backbone="tiny", preset="mvtec_colondb")
    optimizer = model.configure_optimizers()
    assert isinstance(optimizer, torch.optim.AdamW) and model.epochs == 5
    group = optimizer.param_groups[0]
    assert len(optimizer.param_groups) == 1
    assert (group["lr"], group["betas"], group["weight_decay"], group["eps"]) == (0.01, (0.5, 0.999), 0.01, 1e-8)
    assert {id(p) for p in group["params"]} == {id(p) for p in model.model.parameters() if p.requires_grad}


def test_the_activation_is_officials_exact_one_unless_told_otherwise(tmp_path: Any) -> None:
    def activation(model: AdaCLIP) -> str:
        return type(model.clip.model.visual.transformer.resblocks[0].mlp.gelu).__name__

    assert activation(AdaCLIP(backbone="tiny")) == "GELU"
    quick = AdaCLIP(backbone="tiny", quick_gelu=True)
    assert activation(quick) == "QuickGELU"
    assert activation(AdaCLIP(weights=str(quick.save_weights(tmp_path / "w.safetensors")))) == "QuickGELU"


def lightning(monkeypatch: pytest.MonkeyPatch, fn: TrainerFn = TrainerFn.TESTING, **trainer: Any) -> AdaCLIP:
    model = AdaCLIP(backbone="tiny")
    monkeypatch.setattr(AdaCLIP, "trainer", SimpleNamespace(state=SimpleNamespace(fn=fn), **trainer))
    return model


def loader(category: str) -> Any:
    return SimpleNamespace(dataset=SimpleNamespace(category=category))


def batch(*paths: str) -> ImageBatch:
    return ImageBatch(image=torch.zeros(len(paths), 3, 8, 8), image_path=list(paths))


def test_class_names_come_from_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lightning(monkeypatch, datamodule=SimpleNamespace(category="of all"))
    several = CategoryBatch(image=torch.zeros(3, 3, 8, 8), category=["x", "nut", "bolt"])
    assert model.extra_inputs(several) == {"class_names": ["x", "nut", "bolt"]}
    model.model.settings = AdaCLIPSettings(class_name="washer")
    assert model.extra_inputs(several) == {}


def test_class_names_come_from_a_data_set_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lightning(monkeypatch, train_dataloader=loader("of a run before"), test_dataloaders=[loader("bolt")])
    assert model.extra_inputs(batch("c", "a")) == {"class_names": ["bolt", "bolt"]}


def test_class_names_come_from_a_datamodule_of_one_category(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lightning(monkeypatch, datamodule=SimpleNamespace(category="metal_nut"))
    assert model.extra_inputs(batch("c", "a")) == {"class_names": ["metal_nut", "metal_nut"]}


def test_a_prediction_does_not_ask_the_datamodule_of_a_test_before(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lightning(monkeypatch, TrainerFn.PREDICTING, datamodule=SimpleNamespace(category="metal_nut"))
    assert model.extra_inputs(batch("c")) == {"class_names": ["object"]}


def test_images_that_nothing_is_known_about_are_objects_and_that_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = lightning(monkeypatch, datamodule=None)
    with caplog.at_level(logging.WARNING, logger="anomalib_cops"):
        assert model.extra_inputs(batch("c", "a")) == {"class_names": ["object", "object"]}
        model.extra_inputs(ImageBatch(image=torch.zeros(1, 3, 8, 8)))
    assert caplog.text.count("give class_name= to name it") == 1


@pytest.mark.parametrize("category", ["", " "])
def test_an_empty_category_is_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, category: str
) -> None:
    """anomalib's Folder has a category."""
    model = lightning(monkeypatch, datamodule=SimpleNamespace(category=category), test_dataloaders=loader(category))
    with caplog.at_level(logging.WARNING):
        assert model.extra_inputs(batch("a.png", "b.png")) == {"class_names": ["object", "object"]}
    assert caplog.text.count("reads sentences about an 'object'") == 1


def test_class_names_are_found_behind_a_subset(monkeypatch: pytest.MonkeyPatch) -> None:
    subset = SimpleNamespace(dataset=Subset(loader("bolt").dataset, [0]))
    model = lightning(monkeypatch, TrainerFn.PREDICTING, predict_dataloaders=subset)
    assert model.extra_inputs(batch("a.png")) == {"class_names": ["bolt"]}


def test_training_and_testing_read_sentences_about_each_images_category(
    tmp_path: Any, image_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = AdaCLIP(backbone="tiny", visualizer=False, branch="V", prompts="S")
    told: list[list[str]] = []
    original = model.model.encode

    def encode(images: Tensor, class_names: list[str]) -> Any:
        told.append(class_names)
        return original(images, class_names)

    monkeypatch.setattr(model.model, "encode", encode)
    run = engine(tmp_path, max_epochs=1, limit_train_batches=2)
    run.fit(model, datamodule=transfer())
    assert {name for names in told for name in names} == {"leather", "washer"}
    told.clear()
    run.test(model, datamodule=transfer())
    assert {name for names in told for name in names} == {"carpet"}
    told.clear()
    predict(model, tmp_path, image_folder)
    assert {name for names in told for name in names} == {"object"}
