"""Fixtures: a small encoder, briefly trained models, and pictures to use them on."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from filelock import FileLock
from lightning.pytorch import seed_everything
from PIL import Image
from torch import Tensor

from anomalib_cops import CoPS
from anomalib_cops.registry import MODELS
from tests.models.cases import CASES, SIDE, encoder, lightning_class
from tests.models.runs import Trained, engine, transfer


@pytest.fixture(scope="session")
def clip() -> open_clip.CLIP:
    """Return a small CLIP with random weights."""
    return encoder()


@pytest.fixture
def images() -> Tensor:
    """Return three random images for this CLIP."""
    return torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def masks() -> Tensor:
    """Return the masks of these images; the second has a defect."""
    masks = torch.zeros(3, SIDE, SIDE)
    masks[1, :11, 20:] = 1
    return masks


def train_for_a_moment(name: str, folder: Path) -> Trained:
    seed_everything(3)
    model = lightning_class(name)(backbone="tiny", visualizer=False)
    before = {key: value.clone() for key, value in model.clip.state_dict().items()}
    run = engine(folder, max_epochs=1)
    figures = run.train(model, datamodule=transfer())[0]
    return Trained(name, model, run, dict(figures), before, folder)


@pytest.fixture(scope="session")
def trained_method(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """Train a model of a method for one epoch, once per process, however often pytest requests it."""
    return cache(lambda name: train_for_a_moment(name, tmp_path_factory.mktemp("trained")))


@pytest.fixture(scope="session", params=sorted(MODELS))
def trained(request: pytest.FixtureRequest, trained_method: Callable[[str], Trained]) -> Trained:
    """Return a model of each method, trained for one epoch on the embedded tiny CLIP."""
    return trained_method(request.param)


@pytest.fixture(scope="session")
def weights(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the weight file of each method."""
    return Path(trained.model.save_weights(tmp_path_factory.mktemp("weights") / "w.safetensors"))


@pytest.fixture
def make(trained: Trained, weights: Path) -> Callable[..., Any]:
    """Make a model of each method with its trained prompts."""
    return lambda **arguments: lightning_class(trained.name)(weights=str(weights), visualizer=False, **arguments)


@pytest.fixture(scope="session")
def exported(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The trained model as a file of some kind ("torch", "onnx", "openvino"); made once for all processes of a test
    run, as making an ONNX file takes a minute. Each of them trains to the same bits."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exported" / trained.name

    def export(kind: str) -> Path:
        folder = shared / kind
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(shared / f"{kind}.lock"):
            done = folder / "done"
            if not done.exists():
                done.write_text(str(make(kind, folder)))
            return Path(done.read_text())

    def make(kind: str, folder: Path) -> Path:
        settings = {} if kind == "torch" else CASES[trained.name].exportable
        weights = trained.model.save_weights(folder / "w.safetensors")
        model = lightning_class(trained.name)(weights=str(weights), visualizer=False, **settings)
        if kind == "openvino":
            # For OpenVINO, anomalib makes an ONNX file first and converts it.
            model.to_onnx = lambda *_, **__: export("onnx")
        return engine(folder).export(model, kind, export_root=folder)

    return export


@pytest.fixture(scope="session")
def trained_cops(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return trained CoPS, for tests that need not run for all methods."""
    return train_for_a_moment("CoPS", tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def cops_weights(trained_cops: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the weight file of trained CoPS."""
    return Path(trained_cops.model.save_weights(tmp_path_factory.mktemp("weights") / "cops.safetensors"))


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Return a folder of pictures of different sizes and formats."""
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


@pytest.fixture(scope="session")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Path, dict[str, float]]:
    """Train CoPS with a non-default setting; return the model, its checkpoint, its weight file and its figures."""
    model = CoPS(backbone="tiny", neighbourhood=1, epochs=1, seed=0, visualizer=False)
    run = engine(tmp_path_factory.mktemp("narrow"))
    figures = run.train(model, datamodule=transfer())[0]
    folder = Path(run.trainer.default_root_dir) / "weights"
    return model, folder / "lightning" / "model.ckpt", folder / "cops.safetensors", dict(figures)
