"""Pictures of results for drawn images and for several data sets."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from anomalib.data import ImageBatch
from PIL import Image

from anomalib_cops.data import TransferVisualizer, ZeroShotTransfer
from anomalib_cops.data.world import draw_address
from tests.data.conftest import MakeCategory


def show(datamodule: object, batch: ImageBatch, folder: Path) -> list[Path]:
    """Lets the visualizer draw a batch with maps; the pictures' paths below the folder."""
    batch.anomaly_map = torch.rand(len(batch.image), *batch.image.shape[-2:])
    batch.image = (batch.image - 0.5) / 0.2
    trainer = SimpleNamespace(default_root_dir=folder, datamodule=datamodule)
    TransferVisualizer(field_size=(32, 32), text_config={"enable": False}).on_test_batch_end(
        trainer, None, None, batch, 0
    )
    return sorted(path.relative_to(folder / "images") for path in (folder / "images").rglob("*.png"))


def test_drawn_images_are_shown_as_drawn(tmp_path: Path) -> None:
    datamodule = ZeroShotTransfer(target_categories=["gear"], synthetic_samples=4, synthetic_size=32, num_workers=0)
    datamodule.setup()
    batch = next(iter(datamodule.test_dataloader()))
    pictures = show(datamodule, batch, tmp_path)
    assert {path.parts[:2] for path in pictures} == {("synthetic", "gear")}
    assert len(pictures) == 4
    for image_path in batch.image_path:
        shown = Image.open(tmp_path / "images" / datamodule.picture_name(image_path)).convert("RGB")
        np.testing.assert_allclose(np.asarray(shown)[:, :32], draw_address(image_path)[0], atol=1)


def test_pictures_of_several_categories_do_not_fall_on_each_other(tmp_path: Path, make_category: MakeCategory) -> None:
    for category in ("bolt", "nut"):
        make_category(tmp_path / "tools" / category, good=1, defect=1)
    datamodule = ZeroShotTransfer(target=str(tmp_path / "tools"), synthetic_samples=4, num_workers=0)
    datamodule.setup()
    pictures = show(datamodule, next(iter(datamodule.test_dataloader())), tmp_path / "results")
    assert pictures == [Path("tools", c, label, "000.png") for c in ("bolt", "nut") for label in ("defect", "good")]


def test_images_of_elsewhere_are_named_as_by_anomalib(tmp_path: Path, make_category: MakeCategory) -> None:
    path = make_category(tmp_path / "bolt") / "good" / "000.png"
    batch = ImageBatch(image=torch.rand(1, 3, 12, 10), image_path=[str(path)])
    assert show(None, batch, tmp_path / "results") == [Path("good/000.png")]
