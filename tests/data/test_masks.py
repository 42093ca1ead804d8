"""Levels of masks, and masks whose levels do not tell which pixels are anomalous."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image

from anomalib_cops.data import ZeroShotTransfer
from anomalib_cops.data.masks import parse_mask_values, read_mask
from anomalib_cops.errors import InputError
from tests.data.conftest import MakeCategory, save, spot

SPOT = spot() > 0
ZEROS = np.zeros_like(spot())

Write = Callable[[Path], None]


def levels(anomalous: int, kind: type = np.uint8) -> Write:
    """A mask of 0 and one level."""
    return lambda path: Image.fromarray((SPOT * anomalous).astype(kind)).save(path)


def ids(path: Path) -> None:
    """Classes 1 and 2 beside each other on 0."""
    classes = SPOT.astype(np.uint8)
    classes[8:, 5:] = 2
    Image.fromarray(classes).save(path)


def three(path: Path) -> None:
    """A region of 255 and one of 100."""
    grey = SPOT.astype(np.uint8) * 255
    grey[6:, 4:] = 100
    Image.fromarray(grey).save(path)


def alpha(colour: int) -> Write:
    """One colour, more or less transparent."""
    return lambda path: Image.fromarray(np.dstack([ZEROS + colour, ZEROS + colour, ZEROS + colour, spot()])).save(path)


def palette(*colours: tuple[int, int, int]) -> Write:
    """Indices 0 and 1 of a palette."""

    def write(path: Path) -> None:
        image = Image.fromarray(SPOT.astype(np.uint8)).convert("P")
        image.putpalette([level for colour in colours for level in colour])
        image.save(path)

    return write


def colours_of_16_bits(anomalous: int) -> Write:
    """Three channels, of which Pillow reads the upper 8 bits."""
    return lambda path: cv2.imwrite(str(path), np.dstack([(SPOT * anomalous).astype(np.uint16)] * 3)) and None


DARK = {
    "0_1": (levels(1), "0 and 1, but anomalous means brighter than 127"),
    "0_2": (levels(2), "0 and 2, but"),
    "0_100": (levels(100), "0 and 100, but"),
    "0_127": (levels(127), "0 and 127, but"),
    "ids": (ids, "0, 1 and 2, but"),
    "16 bits 0_1": (levels(1, np.uint16), "0 and 1, but"),
    "16 bits 0_1000": (levels(1000, np.uint16), "0 and 1000, but anomalous means brighter than 32639"),
    "32 bits 0_1": (levels(1, np.int32), "0 and 1, but"),
    "colours of 16 bits": (colours_of_16_bits(7), "0 and 7, but"),
    "all of one level": (lambda path: Image.fromarray(ZEROS + 3).save(path), "3, but anomalous"),
    "alpha on black": (alpha(0), "0 and 255 in its alpha channel, but of one brightness"),
    "alpha on white": (alpha(255), "0 and 255 in its alpha channel, but of one brightness"),
    "dark palette": (palette((0, 0, 0), (0, 90, 0)), "0 and 1 in its palette, but anomalous means brighter"),
    "black palette": (palette((0, 0, 0), (0, 0, 0)), "0 and 1 in its palette, but of one brightness"),
    "three regions": (three, "0, 100 and 255, of which some regions are and some are not brighter than 127"),
}


@pytest.mark.parametrize("kind", DARK)
def test_a_mask_that_does_not_say_what_is_anomalous_is_refused_with_its_levels(tmp_path: Path, kind: str) -> None:
    write, said = DARK[kind]
    path = tmp_path / ("mask.tiff" if kind.startswith("32") else "mask.png")
    write(path)
    with pytest.raises(InputError, match=rf"mask\.\w+ is a mask of {said}.*mask_values=") as caught:
        read_mask(path)
    assert "\n" not in str(caught.value)
    read = read_mask(path, values="nonzero")
    assert read[SPOT].all()
    assert read.all() if "one level" in kind else not read[6:, :4].any()


@pytest.mark.parametrize(
    "write",
    [
        levels(255),
        levels(200),
        levels(255, np.uint16),
        levels(65535, np.uint16),
        colours_of_16_bits(255),
        colours_of_16_bits(65535),
        palette((0, 0, 0), (0, 128, 0)),
        palette((255, 255, 255), (0, 0, 0)),
        lambda path: Image.fromarray(SPOT).save(path),
        lambda path: Image.fromarray(np.dstack([spot(), ZEROS, ZEROS, ZEROS + 255])).save(path),
    ],
)
def test_masks_of_every_depth_and_kind_are_read_right(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    np.testing.assert_array_equal(mask if mask[0, 0] else ~mask, SPOT)


@pytest.mark.parametrize("quality", [5, 50, 95])
def test_loss_and_grey_edges_are_no_regions(tmp_path: Path, quality: int) -> None:
    large = np.kron(spot(), np.ones((9, 7), np.uint8))
    Image.fromarray(large).save(tmp_path / "lossy.jpg", quality=quality)
    assert (read_mask(tmp_path / "lossy.jpg") == (large > 0)).mean() > 0.97
    soft = Image.fromarray(large).resize((41, 53), Image.Resampling.BICUBIC)
    soft.save(tmp_path / "soft.png")
    assert 0 < read_mask(tmp_path / "soft.png").mean() < 0.2


def test_levels_that_are_named(tmp_path: Path) -> None:
    ids(tmp_path / "ids.png")
    assert read_mask(tmp_path / "ids.png", values=(1,)).sum() == SPOT.sum()
    assert read_mask(tmp_path / "ids.png", values=(2,)).sum() == 20
    assert read_mask(tmp_path / "ids.png", values=(1, 2)).sum() == SPOT.sum() + 20
    assert read_mask(tmp_path / "ids.png", values=(0,)).sum() == SPOT.size - SPOT.sum() - 20
    palette((0, 0, 0), (0, 90, 0))(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "palette.png", values=(1,)), SPOT)
    alpha(0)(tmp_path / "alpha.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "alpha.png", values=(255,)), SPOT)


def test_what_may_be_said_of_levels() -> None:
    assert [parse_mask_values(each) for each in (None, "", "nonzero", 3, [2, 1, 2])] == [
        None,
        None,
        "nonzero",
        (3,),
        (1, 2),
    ]
    for wrong in ([], "white", [256.0], [-1], [70000], True, {"a": 1}):
        with pytest.raises(InputError, match=r"mask_values=.* is not understood; give the levels"):
            parse_mask_values(wrong)


def transfer(**arguments: object) -> ZeroShotTransfer:
    """As an Engine sets it up for training."""
    data = ZeroShotTransfer(synthetic_samples=4, num_workers=0, **arguments)  # type: ignore[arg-type]
    data.trainer = SimpleNamespace(model=None)
    data.setup(TrainerFn.FITTING)
    return data


@pytest.fixture
def folder(tmp_path: Path, make_category: MakeCategory) -> Path:
    """A category whose masks are of classes."""
    folder = make_category(tmp_path / "bolt")
    for mask in (folder / "mask").iterdir():
        ids(mask)
    return folder


@pytest.mark.parametrize("side", ["source", "target"])
def test_unclear_masks_are_refused_before_training_and_read_by_named_levels(folder: Path, side: str) -> None:
    with pytest.raises(InputError, match=r"\.png is a mask of 0, 1 and 2, but"):
        transfer(**{side: str(folder)})
    for values, count in ((2, 20), ([1, 2], 32), ("nonzero", 32)):
        data = transfer(**{side: str(folder), "mask_values": values})
        items = [part[index] for part in (data.train_data, data.val_data, data.test_data) for index in range(len(part))]
        own = [item for item in items if str(folder) in item.image_path and item.gt_label]
        assert len(own) == 4
        assert {int(item.gt_mask.sum()) for item in own} == {count}
    with pytest.raises(InputError, match=r"no mask of bolt, bolt, has a level of mask_values=\[7\]"):
        transfer(**{side: str(folder), "mask_values": [7]})


def test_given_folders_name_levels_of_their_own(folder: Path) -> None:
    given = {
        "name": "mine",
        "normal_dir": str(folder / "good"),
        "abnormal_dir": str(folder / "defect"),
        "mask_dir": str(folder / "mask"),
        "mask_values": [2],
    }
    data = transfer(target=[given, {**given, "name": "other", "mask_values": None}], mask_values=[1])
    sums = {
        (row.set, int(data.test_data[index].gt_mask.sum()))
        for index, row in data.test_data.samples.iterrows()
        if row.label_index
    }
    assert sums == {("mine", 20), ("other", 12)}


def test_levels_are_not_named_for_published_sets() -> None:
    with pytest.raises(InputError, match="mask_values=nonzero is for masks in folders or lists of your own"):
        transfer(mask_values="nonzero")


def test_anomalous_images_with_empty_masks_are_named_and_stay_anomalous(
    tmp_path: Path, make_category: MakeCategory, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_category(tmp_path / "bolt", defect=8)
    for number in range(1, 6):
        save(folder / "mask" / f"{number:03d}.png", ZEROS)
    with caplog.at_level(logging.WARNING):
        data = transfer(target=str(folder))
    assert len(caplog.messages) == 1
    said = caplog.messages[0]
    assert said.startswith("5 of 8 anomalous images have an empty mask (")
    assert "defect/001.png" in said and "003.png and 2 more" in said and "004" not in said
    assert data.test_data.samples["label_index"].sum() == 8
    caplog.clear()
    data.setup(TrainerFn.TESTING)
    assert not caplog.messages
