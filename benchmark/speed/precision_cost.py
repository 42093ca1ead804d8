"""Measure time, memory and files of every way to run a model, on random weights of a real size."""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from anomalib_cops import UnlabelledImages
from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.encoder.load import build, model_config, native_image_size

from ..own_models import own_model_class
from .inference import images_for_open_clip
from .precision_ways import COMPILED, EXPORTABLE, Model, Way, prepare
from .random_weights import random_weights
from .stopwatch import timed

# Importing torch would cost a process that runs an exported model more memory than the model.
PEAK = """
import json, sys
import numpy as np
from anomalib_cops import Predictor
given = json.loads(sys.argv[1])
side = given.pop("side")
Predictor(**given)(np.zeros((side, side, 3), np.uint8))
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(int(status["VmHWM"].split()[0]) * 1024 / 1e9)
"""


class Clock:
    """Times open_clip's own ``encode_image`` in float32, which everything is compared with.

    Args:
        backbone: open_clip name; its weights are random.

    Attributes:
        size: side of the image in pixels.
    """

    def __init__(self, backbone: str) -> None:
        self.backbone = backbone
        self.size = native_image_size(backbone)
        torch.manual_seed(0)
        self._network = build(model_config(backbone))
        images = torch.randn(1, 3, self.size, self.size)
        self._images = images_for_open_clip(self._network, FrozenCLIP(self._network, self.size), images)
        self._all: list[float] = []
        self._run()

    def seconds(self) -> float:
        """Return the seconds of one run."""
        self._all.append(timed(self._run))
        return self._all[-1]

    @property
    def median(self) -> float:
        """Median of all runs so far, in seconds."""
        return statistics.median(self._all)

    @torch.inference_mode()
    def _run(self) -> None:
        self._network.encode_image(self._images)


def measure_cost(clock: Clock, method: str, repetitions: int) -> dict[str, dict[str, float | None]]:
    """Measure one image per way, in turns with ``encode_image``.

    Args:
        clock: times ``encode_image``.
        method: name of the method.
        repetitions: number of runs of every way.

    Returns:
        For each way the median of seconds and of their ratio to ``encode_image``, peak memory in 10^9 bytes and size of
        the files in 10^6 bytes.
    """
    with TemporaryDirectory() as folder:
        arguments = {**random_weights(clock.backbone, folder), **EXPORTABLE.get(method, {})}
        module = own_model_class(method)(**arguments, visualizer=False)
        # Two images are enough to choose ranges of integers, on which time does not depend.
        pictures = Path(folder) / "images"
        pictures.mkdir()
        for seed in range(2):
            Image.fromarray(_picture(clock.size, seed)).save(pictures / f"{seed}.png")
        model = prepare(module, arguments, Path(folder) / "model", UnlabelledImages(str(pictures)))
        del module
        return {str(way): _measure(model, way, clock, repetitions) for way in model.ways}


def _measure(model: Model, way: Way, clock: Clock, repetitions: int) -> dict[str, float | None]:
    picture = _picture(clock.size, 0)
    with model.predictor(way) as predictor:
        predictor(picture)  # warm up
        seconds, ratios = [], []
        for _ in range(repetitions):
            alone = clock.seconds()
            seconds.append(timed(lambda: predictor(picture).map))
            ratios.append(seconds[-1] / alone)
    is_module = way.runtime == COMPILED
    return {
        "seconds": statistics.median(seconds),
        "times_encode_image": statistics.median(ratios),
        # A compiled module cannot be described to another process.
        "peak_gb": None if is_module else _peak_gb({**model.predictor_arguments(way), "side": clock.size}),
        "file_mb": model.file_mb(way),
    }


def _picture(size: int, seed: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (size, size, 3), np.uint8)


def _peak_gb(given: dict[str, Any]) -> float | None:
    """Return the peak memory of a process that makes a predictor and scores one picture; None where it is unknown."""
    if not Path("/proc/self/status").exists():
        return None
    command = [sys.executable, "-W", "ignore", "-c", PEAK, json.dumps(given)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(finished.stdout.splitlines()[-1])
