"""Measure the speed of training with and without the feature cache."""

import tempfile
import time
from pathlib import Path
from typing import Any

from anomalib.engine import Engine
from lightning.pytorch import Callback, seed_everything

from anomalib_cops import CoPS

from .random_weights import random_weights
from .synthetic_data import synthetic_data

ENGINE: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class EpochClock(Callback):
    """Seconds and loss of every epoch, validation included."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self._start = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
        """Stop the clock; Lightning has validated by then."""
        self.seconds.append(time.perf_counter() - self._start)
        self.losses.append(float(trainer.callback_metrics["train_loss"]))


def measure_training(backbone: str, size: int, images: int, cached_epochs: int, plain_epochs: int) -> dict[str, Any]:
    """Train CoPS on random weights of a backbone, with and without a feature cache.

    Args:
        backbone: open_clip name.
        size: Side of the images in pixels.
        images: Number of images of the auxiliary set.
        cached_epochs: Epochs with the cache.
        plain_epochs: Epochs without it; fewer are enough, as all take the same time.
    """
    measured: dict[str, Any] = {"backbone": backbone, "image_size": size, "images": images}
    with tempfile.TemporaryDirectory() as folder:
        frozen = random_weights(backbone, folder)
        for name, count, cache in (("cached", cached_epochs, f"{folder}/features"), ("plain", plain_epochs, None)):
            seed_everything(0, verbose=False)
            options: dict[str, Any] = {"image_size": size, "feature_cache": cache}
            model = CoPS(visualizer=False, **frozen, **options)
            clock = EpochClock()
            engine = Engine(default_root_dir=folder, max_epochs=count, callbacks=[clock], **ENGINE)
            engine.fit(model, datamodule=synthetic_data(images))
            measured[name] = {"seconds": clock.seconds, "losses": clock.losses}
        measured["cache_gb"] = (
            sum(path.stat().st_size for path in Path(folder, "features").rglob("*.safetensors")) / 1e9
        )
    return measured
