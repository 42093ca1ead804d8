"""Small labelled data sets on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakeCategory = Callable[..., Path]


def save(path: Path, levels: np.ndarray) -> Path:
    """Write levels as an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path)
    return path


def picture(number: int, size: tuple[int, int] = (12, 10)) -> np.ndarray:
    """Return an RGB picture of one grey level: its number."""
    return np.full((*size, 3), number, np.uint8)


def spot(size: tuple[int, int] = (12, 10)) -> np.ndarray:
    """Return a mask whose upper left corner is anomalous."""
    mask = np.zeros(size, np.uint8)
    mask[:4, :3] = 255
    return mask


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test an index of its own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))


@pytest.fixture
def make_category() -> MakeCategory:
    """Return a function that writes a category in the layout good/defect/mask and returns its folder."""

    def make(folder: Path, good: int = 4, defect: int = 4, masks: bool = True) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(good):
            save(folder / "good" / f"{number:03d}.png", picture(number))
        for number in range(defect):
            save(folder / "defect" / f"{number:03d}.png", picture(100 + number))
            if masks:
                save(folder / "mask" / f"{number:03d}.png", spot())
        return folder

    return make
