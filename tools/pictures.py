"""Sample pictures of every method for its page: ``python tools/pictures.py`` (some minutes on a CPU).

Every method is trained for a moment on synthetic categories, on the embedded tiny CLIP, and shown on others.
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
from anomalib_cops.registry import METHODS

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"
PAGES = {"AdaCLIP": "ada_clip", "AnomalyCLIP": "anomaly_clip", "CoPS": "cops", "VCPCLIP": "vcp_clip"}
# The paper's window over patches is too wide for the tiny CLIP's ten by ten, and the official learning rate of VCP-CLIP
# too low for so short a training.
OPTIONS = {"CoPS": {"neighbourhood": 1}, "VCPCLIP": {"learning_rate": 1e-3}}
SHOWN = ("synthetic/brushed_metal", "synthetic/leather", "synthetic/wire_mesh", "synthetic/coffee_bean")


def draw(name: str, epochs: int, folder: Path) -> Path:
    """Train a method and draw its page's picture."""
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
    path = draw_example_grid(examples, folder / f"{PAGES[name]}.png", title=f"{name} after {epochs} epochs ({LABEL})")
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)  # a third of the size
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=sorted(METHODS), help="all if none is named")
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args(arguments)
    for name in options.methods:
        print(draw(name, options.epochs, FOLDER))


if __name__ == "__main__":
    main()
