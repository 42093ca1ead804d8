"""Models that learn from normal images only, with data of both kinds."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from anomalib.engine import Engine
from anomalib.models import Padim

from anomalib_cops import AnomalyCLIP, ZeroShotTransfer
from anomalib_cops.errors import InputError
from tests.data.conftest import MakeCategory


class Watched(Padim):
    """Model that records the labels of its training and test images."""

    def __init__(self) -> None:
        super().__init__("resnet18", ["layer1"], False, n_features=20, visualizer=False, evaluator=False)
        self.labels: dict[str, list[bool]] = {"train": [], "test": []}

    def training_step(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
        self.labels["train"] += batch.gt_label.tolist()
        return super().training_step(batch, *args, **kwargs)

    def test_step(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
        self.labels["test"] += batch.gt_label.tolist()
        return super().test_step(batch, *args, **kwargs)


def run(model: Any, data: ZeroShotTransfer, folder: Path) -> None:
    engine = Engine(
        default_root_dir=folder, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, max_epochs=1
    )
    engine.train(model, datamodule=data)


def synthetic(**arguments: Any) -> ZeroShotTransfer:
    names = {"source_categories": ["leather"], "target_categories": ["screw"]}
    return ZeroShotTransfer(synthetic_samples=8, synthetic_size=64, num_workers=0, **{**names, **arguments})


@pytest.mark.filterwarnings("ignore:.*will run with no optimizer")
def test_padim_learns_from_the_good_images_alone_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, data = Watched(), synthetic()
    with caplog.at_level(logging.WARNING):
        run(model, data, tmp_path)
    assert model.labels["train"] == [False] * 3
    assert sorted(model.labels["test"]) == [False] * 4 + [True] * 4
    said = [message for message in caplog.messages if "learns from normal images only" in message]
    assert said == [
        "Watched learns from normal images only, so the anomalous ones of the source (3) are left out of its training; "
        "set learns_from_anomalies = True on a model that does learn from them."
    ]
    assert data.train_data.has_anomalous


def test_a_model_may_say_that_it_learns_from_anomalies(tmp_path: Path) -> None:
    data = synthetic()
    for model in (Watched(), AnomalyCLIP(backbone="tiny", visualizer=False)):
        model.learns_from_anomalies = True
        data.trainer = type("Trainer", (), {"lightning_module": model, "model": None})()
        data.setup()
        assert torch.cat([batch.gt_label for batch in data.train_dataloader()]).sum() == 3


def test_ours_do(tmp_path: Path) -> None:
    assert AnomalyCLIP.learns_from_anomalies and not hasattr(Padim, "learns_from_anomalies")


def test_without_good_images_there_is_nothing_to_learn_from(tmp_path: Path, make_category: MakeCategory) -> None:
    data = synthetic()
    data.setup()
    data.train_data.samples = data.train_data.samples[data.train_data.samples["label_index"] == 1]
    data.trainer = type("Trainer", (), {"lightning_module": Watched(), "model": None})()
    with pytest.raises(InputError, match="Watched learns from normal images, and the source has none"):
        data.train_dataloader()
