"""Measure speed and memory of pixel metrics: anomalib's, which keep every pixel, beside the streaming ones."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from anomalib import metrics as exact
from anomalib.data import ImageBatch
from scipy import ndimage

from anomalib_cops.metrics import streaming

from .stopwatch import peak_gb, timed

SIDE, PATCH, BATCH = 518, 14, 8
NAMES = ("AUROC", "AUPR", "F1Max", "AUPRO")


def measure_metrics(maps: int) -> dict[str, Any]:
    """Measure value, seconds and memory of every metric on smooth maps with rectangular defects.

    Args:
        maps: Number of maps, of 518 x 518 pixels; the exact metrics keep them all.
    """
    batches = list(_batches(maps))
    measured: dict[str, Any] = {"maps": maps, "side": SIDE, "metrics": {}}
    for name in NAMES:
        for kind, module in (("exact", exact), ("streaming", streaming)):
            values: list[float] = []

            def task() -> None:
                metric = getattr(module, name)(fields=["anomaly_map", "gt_mask"])  # noqa: B023 (called at once)
                for batch in batches:
                    metric.update(batch)
                values.append(float(metric.compute()))  # noqa: B023

            seconds: list[float] = []
            memory = peak_gb(lambda: seconds.append(timed(task)))  # noqa: B023
            measured["metrics"].setdefault(name, {})[kind] = {"value": values[0], "seconds": seconds[0], "gb": memory}
    return measured


def _batches(count: int) -> Iterator[ImageBatch]:
    generator = np.random.default_rng(0)
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        patches = generator.random((size, SIDE // PATCH, SIDE // PATCH), np.float32)
        maps = ndimage.gaussian_filter(np.kron(patches, np.ones((1, PATCH, PATCH), np.float32)), (0, 4, 4))
        masks = np.zeros(maps.shape, bool)
        for mask in masks[::2]:
            top, left = generator.integers(0, SIDE - 110, 2)
            height, width = generator.integers(20, 110, 2)
            mask[top : top + height, left : left + width] = True
        scores = torch.from_numpy((maps + 0.05 * masks).clip(0, 1))
        yield ImageBatch(image=torch.zeros(size, 3, 1, 1), anomaly_map=scores, gt_mask=torch.from_numpy(masks))
