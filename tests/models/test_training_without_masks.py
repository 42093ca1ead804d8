"""Test trainings in anomalib's Engine on images of which some, or all, have labels only."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from anomalib.callbacks import ModelCheckpoint
from anomalib.data import AnomalibDataModule, Folder, ImageBatch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping
from PIL import Image
from torch.utils.data import DataLoader

from anomalib_cops.data import ZeroShotTransfer
from anomalib_cops.errors import InputError
from anomalib_cops.registry import MODELS
from tests.models.cases import lightning_class
from tests.models.runs import engine

OF_LABELS = [name for name in MODELS if name != "VCPCLIP"]
SIDE = 48


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source of two categories; bolt has masks, nut has none."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    rng = np.random.default_rng(0)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:12, :20] = 255
    for category in ("bolt", "nut"):
        for number in range(4):
            picture = rng.integers(0, 200, (SIDE, SIDE, 3), np.uint8)
            write(tmp_path / "source" / category / "good" / f"{number}.png", picture)
            picture[mask > 0] = 255
            write(tmp_path / "source" / category / "defect" / f"{number}.png", picture)
            if category == "bolt":
                write(tmp_path / "source" / category / "mask" / f"{number}.png", mask)
    return tmp_path / "source"


def write(path: Path, levels: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path)


def transfer(source: Path, **options: Any) -> ZeroShotTransfer:
    chosen = {"target_categories": ["screw"], "synthetic_samples": 4, "synthetic_size": SIDE, "train_batch_size": 3}
    return ZeroShotTransfer(source=str(source), num_workers=0, **{**chosen, **options})


def fit(name: str, folder: Path, data: AnomalibDataModule, *callbacks: Callback, **trainer: Any) -> Any:
    """Train for an epoch, and return the model, its prompts before, and what the training logged."""
    model = lightning_class(name)(backbone="tiny", seed=0, visualizer=False)
    before = {key: value.clone() for key, value in model.trained_state().items()}
    run = engine(folder, **{"max_epochs": 1, "callbacks": [*callbacks], **trainer})
    run.fit(model, datamodule=data)
    return model, before, run.trainer.callback_metrics


@pytest.mark.parametrize("name", OF_LABELS)
def test_labels_alone_train_the_prompts(name: str, source: Path, tmp_path: Path) -> None:
    model, before, logged = fit(name, tmp_path / "run", transfer(source, source_categories=["nut"]))
    after = model.trained_state()
    assert any(not torch.equal(value, after[key]) for key, value in before.items())
    assert model.has_trained_weights
    assert "train_image_loss" in logged
    assert not {f"train_{term}_loss" for term in model.model.pixel_terms} & set(logged)
    assert not model.post_processor.image_threshold.isnan()
    assert model.post_processor._pixel_threshold.isnan(), "there are no pixels to take it from"


@pytest.mark.parametrize("name", MODELS)
def test_a_mixture_trains_and_logs_every_term(name: str, source: Path, tmp_path: Path) -> None:
    model, before, logged = fit(name, tmp_path / "run", transfer(source))
    after = model.trained_state()
    assert any(not torch.equal(value, after[key]) for key, value in before.items())
    assert {f"train_{term}_loss" for term in model.model.loss_terms} <= set(logged)
    assert not model.post_processor._pixel_threshold.isnan()


def test_cached_features_teach_a_mixture_the_same(source: Path, tmp_path: Path) -> None:
    states = []
    for cache in (None, str(tmp_path / "features")):
        model = lightning_class("AnomalyCLIP")(backbone="tiny", seed=0, visualizer=False, feature_cache=cache)
        engine(tmp_path / f"{cache is None}", max_epochs=2).fit(model, datamodule=transfer(source))
        states.append(model.trained_state())
    assert len(list((tmp_path / "features").rglob("*.safetensors"))) == 16
    for key, value in states[0].items():
        # The cache rounds features to float16.
        torch.testing.assert_close(value, states[1][key], atol=2e-3, rtol=0)


def test_no_masks_used_is_no_masks_there_bit_for_bit(source: Path, tmp_path: Path) -> None:
    unused, _, _ = fit("CoPS", tmp_path / "unused", transfer(source, masks="none"))
    shutil.rmtree(source / "bolt" / "mask")
    removed, _, _ = fit("CoPS", tmp_path / "removed", transfer(source))
    for key, value in unused.trained_state().items():
        assert torch.equal(value, removed.trained_state()[key])
    assert torch.equal(unused.post_processor.image_threshold, removed.post_processor.image_threshold)


def test_thresholds_and_metrics_of_pixels_are_those_of_the_images_with_masks(source: Path, tmp_path: Path) -> None:
    """The same weights, validated on both categories and on the one that has masks."""
    found = []
    for categories in (["bolt", "nut"], ["bolt"]):
        data = transfer(source, source_categories=categories, val_fraction=0.5)
        watch = ModelCheckpoint(monitor="pixel_AUROC", mode="max")
        model = lightning_class("AnomalyCLIP")(backbone="tiny", seed=0, visualizer=False, learning_rate=0.0)
        run = engine(tmp_path / str(len(categories)), max_epochs=1, callbacks=[watch])
        data.setup()
        # Of bolt the same images for both, whatever the split chose.
        samples = data.samples[data.samples["set"] == "source"]
        held_out = samples["image_path"].str.endswith(("0.png", "1.png"))
        data.val_data.samples = samples[held_out]
        data.train_data.samples = samples[~held_out]
        run.fit(model, datamodule=data)
        found.append((model.post_processor._pixel_threshold, run.trainer.callback_metrics["pixel_AUROC"]))
    assert torch.equal(*(threshold for threshold, _ in found))
    assert torch.equal(*(figure for _, figure in found))


def test_a_loader_that_mixes_is_refused_where_masks_would_be_taken_for_true(source: Path, tmp_path: Path) -> None:
    data = transfer(source, val_fraction=0.5)
    data.setup()
    loaders = [DataLoader(part, batch_size=16, collate_fn=part.collate_fn) for part in (data.train_data, data.val_data)]
    model = lightning_class("AnomalyCLIP")(backbone="tiny", visualizer=False)
    with pytest.raises(InputError, match="A batch to evaluate holds images without masks among others"):
        engine(tmp_path, max_epochs=1).fit(model, *loaders)


def test_vcp_clip_refuses_a_source_without_masks_and_uses_those_of_a_mixture(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="VCPCLIP learns from pixels alone, .*; add masks, or train AdaCLIP"):
        fit("VCPCLIP", tmp_path / "refused", transfer(source, masks="none"))
    assert not list((tmp_path / "refused").rglob("*.safetensors"))


@pytest.mark.parametrize(
    "callback", [EarlyStopping("train_focal_loss"), ModelCheckpoint(monitor="pixel_AUPRO", mode="max")]
)
def test_what_needs_masks_cannot_be_watched_without_any(source: Path, tmp_path: Path, callback: Any) -> None:
    with pytest.raises(InputError, match=r"does not give; it gives train_loss, train_image_loss, image_AUROC, image_"):
        fit("AnomalyCLIP", tmp_path, transfer(source, masks="none"), callback)


@pytest.mark.parametrize("batches", [1, 4])
def test_a_term_of_pixels_can_be_watched_in_a_mixture_whatever_a_batch_holds(
    source: Path, tmp_path: Path, batches: int
) -> None:
    data = transfer(source, train_batch_size=1, val_fraction=0.5)
    stop = EarlyStopping("train_focal_loss")
    for seed in range(3):
        data = transfer(source, train_batch_size=1, val_fraction=0.5, seed=seed)
        fit("AnomalyCLIP", tmp_path / str(seed), data, stop, limit_train_batches=batches)


class WithAnomalies(Folder):
    """anomalib's datamodule, with anomalies in its training part."""

    def _setup(self, _stage: str | None = None) -> None:
        super()._setup(_stage)
        self.train_data = self.train_data + self.test_data


def of_anomalib(kind: type[Folder], source: Path) -> Folder:
    """Return a datamodule of anomalib on nut, which has no masks."""
    options = {"normal_dir": "good", "abnormal_dir": "defect", "train_batch_size": 4, "num_workers": 0}
    data = kind("nut", root=source / "nut", **options)
    data.setup()
    return data


@pytest.mark.parametrize("name", ["AnomalyCLIP", "VCPCLIP"])
def test_anomalib_s_datamodules_train_by_labels_too(name: str, source: Path, tmp_path: Path) -> None:
    data = of_anomalib(WithAnomalies, source)
    assert next(iter(data.train_dataloader())).gt_mask is None
    if name == "VCPCLIP":
        with pytest.raises(InputError, match="VCPCLIP learns from pixels alone"):
            fit(name, tmp_path, data)
        return
    model, before, _ = fit(name, tmp_path, data)
    assert any(not torch.equal(value, model.trained_state()[key]) for key, value in before.items())


def test_normal_images_alone_stay_refused(source: Path, tmp_path: Path) -> None:
    said = (
        r"AnomalyCLIP learns from normal and anomalous images of an auxiliary data set \(.*\), with masks where there"
    )
    data = of_anomalib(Folder, source)
    with pytest.raises(InputError, match=said):
        fit("AnomalyCLIP", tmp_path, data)
    model = lightning_class("AnomalyCLIP")(backbone="tiny", visualizer=False)
    with pytest.raises(InputError, match=said):
        engine(tmp_path, max_epochs=1).fit(model, train_dataloaders=data.train_dataloader())
    batch = ImageBatch(image=torch.zeros(2, 3, 120, 120), gt_label=torch.zeros(2, dtype=torch.int))
    with pytest.raises(InputError, match=said):
        model.training_step(batch, 0)
