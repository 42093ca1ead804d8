"""Measure ``predict`` and ``score`` from files to results, beside the model alone and reading alone."""

import contextlib
import io
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from anomalib.data import ImageBatch
from anomalib.engine import Engine
from lightning.pytorch import seed_everything
from PIL import Image

from anomalib_cops import CoPS, Predictor
from anomalib_cops.host.reading_ahead import ReadingThreads
from anomalib_cops.machine import processors
from anomalib_cops.scoring.listing import Listing
from anomalib_cops.scoring.reading import Wanted, read_ahead
from anomalib_cops.scoring.run import Job, score

from .stopwatch import Task, interleaved
from .synthetic_data import synthetic_data
from .training import ENGINE

SIDE = 1024
_CONTENTS = 8


def measure_throughput(images: int, device: str) -> dict[str, Any]:
    """Measure images per second on the tiny backbone, with images of one megapixel, half of them PNG and half JPEG.

    Args:
        images: Number of images.
        device: Of the model, "cpu" or "cuda".
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        root = Path(folder)
        write_images(root / "images", images)
        weights = _train(root)
        tasks = _tasks(root, weights, images, device)
        seconds = interleaved(tasks, 1)
    return {
        "images": images,
        "side": SIDE,
        "workers": _workers(),
        "images_per_second": {name: images / each["median"] for name, each in seconds.items()},
    }


def write_images(folder: Path, count: int) -> None:
    """Write pictures of one megapixel with some noise; a few contents are repeated under new names."""
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:05d}{('.png', '.jpg')[number % 2]}"
        if number >= _CONTENTS:
            shutil.copy(folder / f"{number % _CONTENTS:05d}{path.suffix}", path)
            continue
        random = np.random.default_rng(number)
        coarse = Image.fromarray(random.integers(0, 255, (32, 32, 3), np.uint8)).resize((SIDE, SIDE))
        levels = np.asarray(coarse) + random.normal(0, 4, (SIDE, SIDE, 1))
        Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(path)


def _train(root: Path) -> Path:
    seed_everything(0, verbose=False)
    model = CoPS(backbone="tiny", visualizer=False, evaluator=False)
    Engine(default_root_dir=root / "training", max_epochs=1, **ENGINE).fit(model, datamodule=synthetic_data(8))
    return Path(model.save_weights(root / "cops.safetensors"))


def _tasks(root: Path, weights: Path, images: int, device: str) -> dict[str, Task]:
    folder = root / "images"
    paths = sorted(folder.iterdir())
    predictor = Predictor(str(weights), device=device)
    module = CoPS(weights=str(weights)).eval().to(device)
    size = (module.clip.image_size,) * 2
    image = torch.rand(3, *size, device=device)
    module.predict_images([image])

    def model() -> None:
        for _ in paths:
            module.predict_images([image])

    def read_in_threads() -> None:
        threads = ReadingThreads(paths, size)
        for index in range(images):
            threads.items([index])
        threads.close()

    def read_in_processes() -> None:
        wanted = Wanted(input_size=size, keeps_levels=False)
        for _ in read_ahead(iter(Listing(str(folder))), _workers(), _workers() + 1, wanted):
            pass

    def predict(**arguments: Any) -> None:
        engine = Engine(default_root_dir=root / "predictions", **{**ENGINE, "accelerator": _accelerator(device)})
        engine.predict(CoPS(weights=str(weights), **arguments), data_path=folder, return_predictions=False)

    return {
        "model": model,
        "reading in threads": read_in_threads,
        "reading in processes": read_in_processes,
        "drawing": lambda: _draw(module, paths, root / "drawn"),
        "score": lambda: _score(folder, root / "scores.csv", predictor),
        "predict": lambda: predict(visualizer=False),
        "predict with pictures": predict,
    }


def _draw(module: Any, paths: list[Path], output: Path) -> None:
    """Draw a picture of every image as a prediction does, from an image that is decoded already."""
    visualizer = module.visualizer
    with Image.open(paths[0]) as opened:
        shown = opened.convert("RGB").resize(visualizer.field_size)
    visualizer.take_shown = lambda path: shown
    side = module.clip.image_size
    # Of the model, as noise would take longer to compress.
    found = module.predict_images([torch.from_numpy(np.array(shown.resize((side, side)))).permute(2, 0, 1) / 255])[0]
    run = SimpleNamespace(default_root_dir=output)
    for number, path in enumerate(paths):
        batch = ImageBatch(
            image=torch.rand(1, 3, side, side),
            image_path=[str(path)],
            anomaly_map=found.anomaly_map.cpu().reshape(1, side, side),
            pred_mask=found.pred_mask.cpu().reshape(1, side, side),
            pred_score=found.pred_score.cpu().reshape(1),
            pred_label=found.pred_label.cpu().reshape(1),
        )
        visualizer.on_test_batch_end(run, module, None, batch, number)
    visualizer.on_test_end(run, module)
    visualizer.take_shown = None


def _score(folder: Path, output: Path, predictor: Any) -> None:
    # The score command makes a predictor of its own and closes it; this one is warm.
    score(Job(str(folder), output, workers=_workers()), lambda: contextlib.nullcontext(predictor))


def _workers() -> int:
    return max(1, processors() - 1)


def _accelerator(device: str) -> str:
    return "cpu" if device == "cpu" else "gpu"
