"""Measure the memory of predicting one image with CoPS, from the start of Python to the end.

This module is also the program that is measured: ``python -m benchmark.speed.memory BACKBONE WEIGHTS PRECISION`` prints
the peak memory of its process so far, in 10^9 bytes: after the imports, after the model was made from a weight file,
and after the prediction.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..quiet import quiet
from .stopwatch import process_peak_gb


def measure_memory(backbone: str, precisions: Sequence[str]) -> dict[str, Any]:
    """Run the program on a file of random half-precision weights, once for each precision.

    Args:
        backbone: open_clip name.
        precisions: Precisions in use, as Lightning names them.
    """
    from .random_weights import random_weights

    with tempfile.TemporaryDirectory() as folder:
        path = random_weights(backbone, folder)["pretrained"]
        return {precision: _run(backbone, path, precision) for precision in precisions}


def _run(backbone: str, path: str, precision: str) -> Any:
    command = [sys.executable, "-W", "ignore", "-m", __name__, backbone, path, precision]
    root = Path(__file__).resolve().parents[2]
    finished = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return json.loads(finished.stdout.splitlines()[-1])


def main(backbone: str, weights: str, precision: str) -> None:
    """Predict one image and print the peaks."""
    with quiet():
        import numpy as np
        from anomalib.engine import Engine
        from PIL import Image

        from anomalib_cops import CoPS
    peaks = {"imports": process_peak_gb()}
    with quiet(), tempfile.TemporaryDirectory() as folder:
        model = CoPS(backbone=backbone, pretrained=weights, quick_gelu=True, visualizer=False)
        peaks["loaded"] = process_peak_gb()
        levels = np.random.default_rng(0).integers(0, 255, (600, 600, 3), np.uint8)
        Image.fromarray(levels).save(Path(folder) / "image.png")
        engine = Engine(default_root_dir=folder, accelerator="cpu", precision=precision, logger=False)
        engine.predict(model, data_path=Path(folder) / "image.png")
        peaks["predicted"] = process_peak_gb()
    print(json.dumps(peaks))


if __name__ == "__main__":
    main(*sys.argv[1:])
