"""Pictures of results for drawn images and for several data sets."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from anomalib.data import ImageBatch, ImageItem
from PIL import Image

from anomalib_cops.data import ZeroShotTransfer
from anomalib_cops.data.synthetic.addresses import draw_address
from anomalib_cops.errors import InputError
from anomalib_cops.host.result_picture import describe, result_picture
from anomalib_cops.host.visualizer import TransferVisualizer
from anomalib_cops.thresholds import LabelThreshold
from tests.data.conftest import MakeCategory, picture, save


def show(datamodule: object, batch: ImageBatch, folder: Path, **loaders: object) -> list[Path]:
    """Let the visualizer draw a batch with maps, and return the paths of the pictures inside the folder."""
    batch.anomaly_map = torch.rand(len(batch.image), *batch.image.shape[-2:])
    batch.image = (batch.image - 0.5) / 0.2
    trainer = SimpleNamespace(default_root_dir=folder, datamodule=datamodule, **loaders)
    visualizer = TransferVisualizer(field_size=(32, 32), text_config={"enable": False})
    visualizer.on_test_batch_end(trainer, None, None, batch, 0)
    visualizer.on_test_end(trainer, None)
    return sorted(path.relative_to(folder / "images") for path in (folder / "images").rglob("*.*"))


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


def test_equal_names_in_sub_folders_of_a_target_get_a_picture_each(tmp_path: Path, make_category: MakeCategory) -> None:
    folder = make_category(tmp_path / "bolt", good=1, defect=1)
    for camera in "ab":
        shutil.copytree(folder / "good", folder / "good" / camera, ignore=lambda *_: set("ab"))
    (folder / "good" / "000.png").unlink()
    datamodule = ZeroShotTransfer(target=str(folder), synthetic_samples=4, num_workers=0)
    datamodule.setup()
    pictures = show(datamodule, next(iter(datamodule.test_dataloader())), tmp_path / "results")
    good = Path("bolt", "bolt", "good")
    assert pictures == [Path("bolt", "bolt", "defect", "000.png"), good / "a" / "000.png", good / "b" / "000.png"]


def test_images_of_other_data_are_named_below_the_folder_that_all_are_in(tmp_path: Path) -> None:
    paths = [str(save(tmp_path / place, picture(9))) for place in ("1/a/x.png", "2/a/x.png", "2/a/x.jpg")]
    batch = ImageBatch(image=torch.rand(3, 3, 12, 10), image_path=paths)
    loader = SimpleNamespace(dataset=SimpleNamespace(image_filenames=paths))
    pictures = show(None, batch, tmp_path / "results", test_dataloaders=[loader])
    assert pictures == [Path("1/a/x.png"), Path("2/a/x.jpg.png"), Path("2/a/x.png")]


def test_images_that_no_list_names_keep_their_whole_path(tmp_path: Path) -> None:
    paths = [str(save(tmp_path / place, picture(9))) for place in ("1/x.png", "2/x.png")]
    batch = ImageBatch(image=torch.rand(2, 3, 12, 10), image_path=paths)
    assert show(None, batch, tmp_path / "results") == [Path(*Path(path).parts[1:]) for path in paths]


def test_images_without_a_path_are_numbered(tmp_path: Path) -> None:
    batch = ImageBatch(image=torch.rand(2, 3, 12, 10))
    assert show(None, batch, tmp_path / "results") == [Path("000000.png"), Path("000001.png")]


def test_a_picture_that_cannot_be_written_ends_the_run_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file where the folder should be")
    batch = ImageBatch(image=torch.rand(1, 3, 12, 10))
    with pytest.raises(InputError, match=r"the picture .*000000.png cannot be written .*visualizer=False"):
        show(None, batch, tmp_path)


def test_images_of_16_bits_are_shown_right(tmp_path: Path) -> None:
    levels = np.full((32, 32), 128 * 257, np.uint16)
    batch = ImageBatch(image=torch.rand(1, 3, 8, 8), image_path=[str(save(tmp_path / "deep.png", levels))])
    show(None, batch, tmp_path / "results")
    shown = np.asarray(Image.open(next((tmp_path / "results").rglob("*.png"))))
    np.testing.assert_array_equal(shown[:, :32], 128)


def item(score: float, path: Path) -> ImageItem:
    anomaly_map = torch.full((8, 8), score)
    return ImageItem(
        image=torch.rand(3, 8, 8),
        image_path=str(path),
        anomaly_map=anomaly_map,
        pred_mask=anomaly_map > 0.5,
        pred_score=torch.tensor(score),
        pred_label=torch.tensor(score > 0.5),
    )


def test_pictures_keep_the_shape_of_the_image_and_say_the_score(tmp_path: Path) -> None:
    shown = item(0.75, save(tmp_path / "wide.png", picture(9, (100, 400))))
    plain = result_picture(shown, TransferVisualizer())
    assert plain is not None and plain.size == (3 * 512, 128)
    headed = result_picture(shown, TransferVisualizer(), describe(shown, LabelThreshold(0.5, calibrated=False)))
    assert headed is not None and headed.width == plain.width and headed.height > plain.height
    narrow = item(0.75, save(tmp_path / "narrow.png", picture(9, (400, 10))))
    drawn = result_picture(narrow, TransferVisualizer(), "a line that is longer than three panels")
    assert drawn is not None and drawn.width > 3 * 13


@pytest.mark.parametrize(
    ("score", "threshold", "words"),
    [
        (0.75, LabelThreshold(0.5, calibrated=True), "score 0.750, threshold 0.5: anomalous"),
        (0.25, LabelThreshold(0.5, calibrated=False), "score 0.250, threshold 0.5 (not calibrated): normal"),
        (0.25, None, "score 0.250"),
    ],
)
def test_words_above_a_picture(score: float, threshold: LabelThreshold | None, words: str, tmp_path: Path) -> None:
    assert describe(item(score, tmp_path / "none.png"), threshold) == words
