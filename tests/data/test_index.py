"""The index of large data sets: used as long as nothing changes, and made again afterwards; no file is opened."""

import os
import time
from pathlib import Path

import pytest
from PIL import Image

from anomalib_cops.data import ZeroShotTransfer
from anomalib_cops.data.sets.folder import FolderSet
from anomalib_cops.data.sets.index import index_path
from tests.data.conftest import MakeCategory, picture, save


@pytest.fixture
def settled(tmp_path: Path, make_category: MakeCategory) -> Path:
    """A data set that has not been touched for an hour."""
    folder = make_category(tmp_path / "set" / "bolt").parent
    rest(folder)
    return folder


def rest(folder: Path, seconds: float = 3600) -> None:
    """Make folders look as if they had not changed lately."""
    for place, *_ in os.walk(folder):
        os.utime(place, (time.time() - seconds,) * 2)


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the folders that are listed."""
    seen: list[str] = []
    scandir = os.scandir

    def look(folder: Path) -> object:
        seen.append(Path(folder).name)
        return scandir(folder)

    monkeypatch.setattr("anomalib_cops.data.sets.listing.os.scandir", look)
    return seen


def test_what_did_not_change_is_not_listed_again(settled: Path, looked: list[str]) -> None:
    first = FolderSet(settled).samples("bolt")
    assert "good" in looked
    looked.clear()
    second = FolderSet(settled).samples("bolt")
    assert "good" not in looked
    assert first.equals(second)


def test_a_new_image_or_mask_is_seen(settled: Path) -> None:
    assert len(FolderSet(settled).samples("bolt")) == 8
    save(settled / "bolt" / "good" / "new.png", picture(1))
    assert len(FolderSet(settled).samples("bolt")) == 9
    rest(settled, seconds=60)
    assert len(FolderSet(settled).samples("bolt")) == 9
    (settled / "bolt" / "mask" / "001.png").rename(settled / "bolt" / "mask" / "001_mask.png")
    assert FolderSet(settled).samples("bolt")["mask_path"].str.endswith("001_mask.png").any()


def test_a_folder_in_motion_is_not_remembered(settled: Path) -> None:
    save(settled / "bolt" / "good" / "new.png", picture(1))
    FolderSet(settled).samples("bolt")
    assert not index_path(settled, "set", "bolt").exists()


@pytest.mark.parametrize("content", ["", "{}", '{"seen": {}, "samples": 3}', '{"seen": {"/not/there": 1}}'])
def test_a_damaged_index_is_made_again(settled: Path, content: str) -> None:
    expected = FolderSet(settled).samples("bolt")
    path = index_path(settled, "set", "bolt")
    assert path.is_file()
    path.write_text(content)
    assert FolderSet(settled).samples("bolt").equals(expected)
    assert path.read_text() != content


def test_an_index_that_cannot_be_kept_is_done_without(settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(settled / "bolt" / "good" / "000.png"))
    assert len(FolderSet(settled).samples("bolt")) == 8


def test_no_image_is_opened_before_it_is_needed(
    tmp_path: Path, make_category: MakeCategory, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_category(tmp_path / "parts" / "bolt")
    make_category(tmp_path / "other" / "nut")
    opened: list[object] = []
    original = Image.open
    monkeypatch.setattr(Image, "open", lambda path, *rest: (opened.append(path), original(path, *rest))[1])
    data = ZeroShotTransfer(source=str(tmp_path / "parts"), target=str(tmp_path / "other"), num_workers=0)
    data.setup()
    assert not opened
    data.test_data[0]
    assert len(opened) == 2
