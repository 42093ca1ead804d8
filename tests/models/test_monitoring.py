"""Test early stopping and checkpoints by a figure: it exists, or the error lists those that do."""

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from anomalib.callbacks import ModelCheckpoint
from anomalib.metrics import AUROC, Evaluator
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor

from anomalib_cops import AnomalyCLIP
from anomalib_cops.errors import InputError
from tests.models.cases import CASES, make
from tests.models.runs import engine, transfer

SCORES = {"fields": ["pred_score", "gt_label"], "prefix": "image_"}


def fit(folder: Path, *callbacks: Callback, evaluator: Any = True, **trainer: Any) -> Any:
    model = AnomalyCLIP(backbone="tiny", seed=0, visualizer=False, evaluator=evaluator)
    run = engine(folder, **{"max_epochs": 2, "callbacks": [*callbacks], **trainer})
    run.fit(model, datamodule=transfer(synthetic_samples=4, val_fraction=0.5))
    return model, run.trainer


def test_figures_of_the_held_out_part_can_be_watched_and_change_nothing(tmp_path: Path) -> None:
    stop = EarlyStopping("image_AUROC", mode="max", patience=5)
    best = ModelCheckpoint(monitor="pixel_AUPRO", mode="max")
    watched, trainer = fit(tmp_path / "watched", stop, best)
    assert 0 <= float(stop.best_score) <= 1
    assert float(best.best_model_score) == pytest.approx(max(float(trainer.callback_metrics["pixel_AUPRO"]), 0), abs=1)
    assert {"image_AUROC", "pixel_AUPRO"} <= set(trainer.callback_metrics)
    assert "pixel_AUROC" not in trainer.callback_metrics, "computed, and nobody watches it"
    plain, _ = fit(tmp_path / "plain")
    for name, value in plain.trained_state().items():
        assert torch.equal(value, watched.trained_state()[name])


def test_training_stops_when_the_figure_no_longer_grows(tmp_path: Path) -> None:
    stop = EarlyStopping("image_AUROC", mode="max", patience=1, min_delta=2.0)
    _, trainer = fit(tmp_path, stop, max_epochs=9)
    assert trainer.current_epoch == 2


@pytest.mark.parametrize(
    "callback", [EarlyStopping("val_loss"), ModelCheckpoint(monitor="val_image_AUROC"), EarlyStopping("train_kl_loss")]
)
def test_what_is_not_there_is_refused_before_training_with_what_is(tmp_path: Path, callback: Any) -> None:
    with pytest.raises(InputError) as refusal:
        fit(tmp_path, callback)
    said = str(refusal.value)
    assert (
        f"watches '{callback.monitor}', which this training does not give; it gives train_loss, train_image_loss"
        in said
    )
    assert said.endswith("image_AUROC, image_AUPR, image_F1Max, pixel_AUROC, pixel_AUPR, pixel_AUPRO.")
    assert not list(tmp_path.rglob("*.ckpt"))


def test_losses_epochs_and_the_users_own_figures_can_be_watched(tmp_path: Path) -> None:
    class Mine(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            pl_module.log("mine", 1.0)

    callbacks = [EarlyStopping("train_dice_normal_loss"), ModelCheckpoint(monitor="epoch", mode="max")]
    fit(tmp_path, *callbacks, max_epochs=1)
    fit(tmp_path, Mine(), EarlyStopping("mine"), max_epochs=1)


@pytest.mark.parametrize("evaluator", [Evaluator(test_metrics=[AUROC(**SCORES)]), False])
def test_other_evaluators_give_what_they_have(tmp_path: Path, evaluator: Any) -> None:
    watch = {"monitor": "image_AUROC", "mode": "max"}
    with pytest.raises(InputError, match="it gives train_loss, [a-z_, ]*train_dice_normal_loss.$"):
        fit(tmp_path, EarlyStopping(**watch), evaluator=evaluator)
    fit(tmp_path, EarlyStopping(**watch), evaluator=Evaluator(val_metrics=[AUROC(**SCORES)]), max_epochs=1)


def test_a_wrong_direction_and_a_missing_validation_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="takes a smaller image_AUROC for a better one; give it mode='max'"):
        fit(tmp_path, EarlyStopping("image_AUROC"))
    with pytest.raises(InputError, match="watches 'image_AUROC', which this training does not give"):
        fit(tmp_path, EarlyStopping("image_AUROC", mode="max"), limit_val_batches=0)


@pytest.mark.parametrize(("name", "variant"), [(name, variant) for name in CASES for variant in CASES[name].variants])
def test_models_name_the_terms_of_their_loss(
    clip: open_clip.CLIP, images: Tensor, masks: Tensor, name: str, variant: str
) -> None:
    model = make(name, clip, **CASES[name].variants[variant])
    assert {*model.loss_terms, "loss"} == set(model.loss(images, masks, torch.tensor([0.0, 1.0, 0.0])))
