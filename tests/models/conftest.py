"""A model that was trained for a moment, and pictures to use it on."""

import numpy as np
import pytest
from lightning.pytorch import seed_everything
from PIL import Image

from anomalib_cops import CoPS
from tests.models.runs import engine, transfer


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A model trained for one epoch, its engine and the figures of its test."""
    folder = tmp_path_factory.mktemp("trained")
    seed_everything(3)
    model = CoPS(backbone="tiny", visualizer=False)
    before = {name: value.clone() for name, value in model.clip.state_dict().items()}
    run = engine(folder, max_epochs=1)
    figures = run.train(model, datamodule=transfer())[0]
    return model, run, figures, before, folder


@pytest.fixture
def images(tmp_path):
    """A folder of pictures of unlike sizes and kinds."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (90, 70, 3), np.uint8)
    Image.fromarray(rgb).save(folder / "a_rgb.png")
    Image.fromarray(rgb[..., 0]).save(folder / "b_gray.png")
    Image.fromarray(np.dstack([rgb, rgb[..., :1]])).save(folder / "c_rgba.png")
    Image.fromarray(rgb).quantize(16).save(folder / "d_palette.png")
    Image.fromarray(rgb[:1, :1]).save(folder / "e_1x1.png")
    return folder
