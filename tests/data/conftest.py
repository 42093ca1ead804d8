"""Small labelled data sets on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakeCategory = Callable[..., Path]


def save(path: Path, levels: np.ndarray) -> Path:
    """Writes levels as an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path)
    return path


def picture(number: int, size: tuple[int, int] = (12, 10)) -> np.ndarray:
    """An RGB picture of one grey level: its number."""
    return np.full((*size, 3), number, np.uint8)


def spot(size: tuple[int, int] = (12, 10)) -> np.ndarray:
    """A mask with its upper left corner anomalous."""
    mask = np.zeros(size, np.uint8)
    mask[:4, :3] = 255
    return mask


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No index of one test is another's."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))


@pytest.fixture
def make_category() -> MakeCategory:
    """Writes a category in the layout good/defect/mask and returns its folder."""

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
