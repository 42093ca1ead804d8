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
from .precision_ways import COMPILED, EXPORTABLE, Way, prepare
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


def measure_cost(backbone: str, methods: list[str], repetitions: int) -> dict[str, Any]:
    """Measure one image per way, in turns with open_clip's own ``encode_image`` in float32.

    Args:
        backbone: open_clip name.
        methods: names of the methods.
        repetitions: number of runs of every way.

    Returns:
        Size of the image, seconds of ``encode_image``, and for each method and way the median of seconds and of their
        ratio to ``encode_image``, peak memory in 10^9 bytes and size of the files in 10^6 bytes.
    """
    size = native_image_size(backbone)
    torch.manual_seed(0)
    network = build(model_config(backbone))
    images = images_for_open_clip(network, FrozenCLIP(network, size), torch.randn(1, 3, size, size))
    rows: dict[str, dict[str, dict[str, float | None]]] = {}
    alone: list[float] = []

    @torch.inference_mode()
    def encode_image() -> None:
        network.encode_image(images)

    encode_image()
    for method in methods:
        with TemporaryDirectory() as folder:
            arguments = {**random_weights(backbone, folder), **EXPORTABLE.get(method, {})}
            module = own_model_class(method)(**arguments, visualizer=False)
            # Two images are enough to choose ranges of integers, on which time does not depend.
            pictures = Path(folder) / "images"
            pictures.mkdir()
            for seed in range(2):
                Image.fromarray(_picture(size, seed)).save(pictures / f"{seed}.png")
            model = prepare(module, arguments, Path(folder) / "model", UnlabelledImages(str(pictures)))
            del module
            rows[method] = {}
            for way in model.ways:
                rows[method][str(way)] = _measure(model, way, size, encode_image, repetitions, alone)
    return {"image_size": size, "encode_image": statistics.median(alone), "rows": rows}


def _measure(model: Any, way: Way, size: int, encode_image: Any, repetitions: int, alone: list[float]) -> Any:
    picture = _picture(size, 0)
    with model.predictor(way) as predictor:
        predictor(picture)  # warm up
        seconds, ratios = [], []
        for _ in range(repetitions):
            alone.append(timed(encode_image))
            seconds.append(timed(lambda: predictor(picture).map))
            ratios.append(seconds[-1] / alone[-1])
    is_module = way.runtime == COMPILED
    return {
        "seconds": statistics.median(seconds),
        "times_encode_image": statistics.median(ratios),
        # A compiled module cannot be described to another process.
        "peak_gb": None if is_module else _peak_gb({**model.predictor_arguments(way), "side": size}),
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
