"""Fixtures with the files that documented commands use: data sets, pictures, configurations, trained prompts."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from anomalib_cops.data.sets.catalog import CATALOG
from anomalib_cops.weights.published import PUBLISHED
from tests.data.conftest import picture, save, spot
from tests.data.replicas import build
from tests.docs.pages import ROOT, all_blocks
from tests.docs.reader import type_snippet
from tests.models.cases import lightning_class
from tests.models.runs import official_checkpoint

CONFIGURATIONS = {"docs/benchmark.md": "my.yaml", "docs/plugin.md": "experiment.yaml"}
"""File name that a page's commands use for its configuration."""
TRAINING = """
from anomalib.engine import Engine
from anomalib_cops import CoPS, ZeroShotTransfer

model = CoPS(backbone="tiny", epochs=1, visualizer=False)
few = dict(synthetic_samples=4, synthetic_size=64, num_workers=0)
Engine(logger=False).fit(model, datamodule=ZeroShotTransfer(source_categories=["leather"], **few))
model.save_weights("cops.safetensors")
model.save_weights("line1.safetensors")
"""


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a torch cache folder that holds official checkpoints in the shapes of the tiny CLIP."""
    home = tmp_path_factory.mktemp("torch")
    folder = home / "hub/checkpoints/anomalib_cops"
    folder.mkdir(parents=True)
    for name, entries in PUBLISHED.items():
        torch.save(official_checkpoint(name, lightning_class(name)(backbone="tiny", seed=0)), folder / "official.pth")
        for published in entries:
            shutil.copy(folder / "official.pth", folder / f"{name}_{published}.pth")
    return home


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Path:
    """Return a folder with all files that commands and snippets name; its prompts were trained briefly."""
    desk = tmp_path_factory.mktemp("desk")
    for name in ("mvtec", "visa"):
        build(CATALOG[name], CATALOG[name].layouts[-1], desk / "datasets")
    for number in range(3):
        for folder in ("my_images", "images", "folder_of_images", "ok", "my_parts/good"):
            save(desk / folder / f"{number}.png", picture(number, (60, 50)))
        for folder in ("nok", "my_parts/defect"):
            save(desk / folder / f"{number}.png", picture(10 + number, (60, 50)))
        for folder in ("masks", "my_parts/mask"):
            save(desk / folder / f"{number}.png", spot((60, 50)))
        train = desk / "datasets/mvtec_anomaly_detection/bottle/train/good"
        save(train / f"{number}.png", picture(50 + number, (60, 50)))
        for folder, first in (("good", 20), ("more_good", 30), ("unlabelled", 40)):
            save(desk / folder / f"{number}.png", picture(first + number, (60, 50)))
    shutil.copytree(desk / "my_parts", desk / "few/my_parts")
    save(desk / "part.jpg", picture(60, (60, 50)))
    _prepare_as_official_code_does(desk)
    for block in all_blocks("yaml"):
        (desk / CONFIGURATIONS[block.page]).write_text(block.text)
    outcome = type_snippet(TRAINING, desk, home)
    assert outcome.sound, outcome.shown
    shutil.rmtree(desk / "results")
    return desk


def _prepare_as_official_code_does(desk: Path) -> None:
    shutil.copytree(desk / "my_parts", desk / "BTAD/01")
    images = [(f"01/{kind}/{n}.png", kind) for kind in ("good", "defect") for n in range(3)]
    entries = [
        {
            "img_path": path,
            "mask_path": path.replace("defect", "mask") if kind == "defect" else "",
            "cls_name": "01",
            "specie_name": kind,
            "anomaly": int(kind == "defect"),
        }
        for path, kind in images
    ]
    (desk / "BTAD/meta.json").write_text(json.dumps({"train": {}, "test": {"01": entries}}))
    with zipfile.ZipFile(desk / "A.zip", "w") as archive:
        for path, _ in images:
            archive.write(desk / "BTAD" / path, path)


@pytest.fixture
def here(desk: Path, tmp_path: Path) -> Path:
    """Return a folder with links to these files and to committed benchmark results, and with its own new results."""
    for each in desk.iterdir():
        (tmp_path / each.name).symlink_to(each)
    (tmp_path / "results/benchmark").mkdir(parents=True)
    (tmp_path / "results/benchmark/cells").symlink_to(ROOT / "benchmark/results/cells")
    return tmp_path
