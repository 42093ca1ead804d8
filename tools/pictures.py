"""Draw the example pictures of every method's page: ``python -m tools.pictures`` (a few minutes on a CPU).

Train every method briefly on synthetic categories with the embedded tiny CLIP, and show predictions on others.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from anomalib.engine import Engine
from lightning.pytorch import seed_everything
from PIL import Image

import anomalib_cops
from anomalib_cops.demo import LABEL, examples_of
from anomalib_cops.example_grid import draw_example_grid
from anomalib_cops.registry import MODELS

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"
PAGES = {
    "AdaCLIP": "ada_clip",
    "AnomalyCLIP": "anomaly_clip",
    "CoPS": "cops",
    "LinearProbe": "linear_probe",
    "VCPCLIP": "vcp_clip",
}
# CoPS's window is too wide for the tiny CLIP's 10 x 10 patches, and VCP-CLIP's learning rate is too low for so short a
# training.
OPTIONS = {"CoPS": {"neighbourhood": 1}, "VCPCLIP": {"learning_rate": 1e-3}}
SHOWN = ("synthetic/brushed_metal", "synthetic/leather", "synthetic/wire_mesh", "synthetic/coffee_bean")


def draw(name: str, epochs: int, folder: Path) -> Path:
    """Train a method and draw the picture of its page; return the picture's path."""
    seed_everything(0)
    model = getattr(anomalib_cops, name)(backbone="tiny", visualizer=False, epochs=epochs, **OPTIONS.get(name, {}))
    data = anomalib_cops.ZeroShotTransfer(synthetic_size=model.clip.image_size, train_batch_size=16, num_workers=0)
    with TemporaryDirectory() as scratch:
        Engine(default_root_dir=scratch, logger=False, accelerator="auto", devices=1).fit(model, datamodule=data)
    examples = []
    for target in SHOWN:
        dataset = data.target_datasets[target]
        dataset.augmentations = model.pre_processor.transform.transforms[0]
        examples.append((target.removeprefix("synthetic/"), examples_of(model, dataset, each=2)))
    title = f"{name} after {epochs} epochs ({LABEL})"
    path = draw_example_grid(examples, folder / f"{PAGES[name]}.png", title=title, clip=model.clip)
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)  # a third of the size
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=sorted(MODELS), help="all if none is named")
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args(arguments)
    for name in options.methods:
        print(draw(name, options.epochs, FOLDER))


if __name__ == "__main__":
    main()
