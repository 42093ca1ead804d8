"""Test the command that draws the pictures of the methods' pages."""

from functools import partial
from pathlib import Path

import pytest
from PIL import Image

import anomalib_cops
from anomalib_cops.registry import MODELS
from tools import pictures


@pytest.mark.filterwarnings("ignore")
def test_a_picture_has_a_row_for_every_category(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    few = partial(anomalib_cops.ZeroShotTransfer, synthetic_samples=6)
    monkeypatch.setattr(anomalib_cops, "ZeroShotTransfer", few, raising=False)
    pictures.main(["LinearProbe", "--epochs", "1"])
    with Image.open(tmp_path / "linear_probe.png") as image:
        assert image.width > 500 and image.height > 400
        assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 50


def test_every_model_has_a_picture() -> None:
    assert set(pictures.PAGES) == set(MODELS)
