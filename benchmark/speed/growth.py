"""Measure how the time of CoPS grows with the number of images, samples, prototypes and patches."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.encoder.frozen_clip import trunk_kind
from anomalib_cops.encoder.load import build, model_config, native_image_size
from anomalib_cops.models.cops.settings import CoPSSettings
from anomalib_cops.models.cops.torch_model import CoPSModel

from .stopwatch import Task, interleaved


def measure_growth(backbone: str, repetitions: int) -> dict[str, Any]:
    """Measure seconds for several values of each size, and fit a line.

    Args:
        backbone: open_clip name; its weights are random.
        repetitions: Number of runs of every value.
    """
    torch.manual_seed(0)
    network = build(model_config(backbone))
    native = native_image_size(backbone)
    patch = trunk_kind(network).patch_size_of(network.visual)

    def task(batch: int = 1, size: int = native, calls: int = 1, **settings: int) -> Task:
        model = CoPSModel(FrozenCLIP(network, size), replace(CoPSSettings(), **settings)).eval()  # type: ignore[arg-type]
        images = torch.randn(batch, 3, size, size)

        def predict() -> None:
            for _ in range(calls):
                model(images)

        return predict

    sizes = [native, native + 4 * patch, native + 8 * patch]
    lines: dict[str, dict[int, Task]] = {
        "images per batch": {count: task(batch=count) for count in (1, 2, 4)},
        "samples R": {count: task(n_samples=count) for count in (1, 50, 100)},
        "prototypes M": {count: task(n_prototypes=count) for count in (1, 12, 24)},
        "patches": {(size // patch) ** 2: task(size=size) for size in sizes},
        "images, one by one": {count: task(calls=count) for count in (1, 2, 4)},
    }
    tasks = {f"{name}={value}": each for name, points in lines.items() for value, each in points.items()}
    with torch.inference_mode():
        for each in tasks.values():
            each()  # warm up
        seconds = interleaved(tasks, repetitions)
    return {
        name: _line(list(points), [seconds[f"{name}={value}"]["median"] for value in points])
        for name, points in lines.items()
    }


def _line(values: Sequence[int], seconds: Sequence[float]) -> dict[str, Any]:
    """Fit a line through points; ``r2`` is its coefficient of determination."""
    slope, constant = np.polyfit(values, seconds, 1)
    residual = np.asarray(seconds) - (slope * np.asarray(values) + constant)
    deviation = np.asarray(seconds) - np.mean(seconds)
    determination = 1 - float(residual @ residual) / float(deviation @ deviation)
    return {
        "values": list(values),
        "seconds": list(seconds),
        "slope": float(slope),
        "constant": float(constant),
        "r2": determination,
    }
