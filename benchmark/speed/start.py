"""Measure how long it takes to start: imports, our part of the start of ``anomalib predict``, and the first score.

Every run is a new process. Files are in the system's cache, as this process has imported the same packages.
"""

import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anomalib_cops import CoPS

from .random_weights import random_weights
from .stopwatch import interleaved

HOST = "import anomalib.models"
"""What imports are compared with; the start-up hook is switched off for it."""
IMPORTS = (HOST, "import anomalib_cops", "from anomalib_cops import CoPS")
RUNTIMES = {"ONNX Runtime": ("onnxruntime", "to_onnx"), "OpenVINO": ("openvino", "to_openvino")}
"""Package of each runtime, and the method of a model that exports to it."""
FIRST_SCORE = "import sys; from anomalib_cops import Predictor; Predictor(sys.argv[1])(sys.argv[2])"
# anomalib alone makes as many full collections of garbage until then. One takes longer than all that is ours, and it is
# chance during whose import it runs.
OWN_PART = """
import gc, json, sys, time
import anomalib.cli.cli, anomalib.data, anomalib.engine, anomalib.models
gc.collect(); gc.disable()
start = time.perf_counter()
from anomalib_cops.plugin import register
register()
registered = time.perf_counter()
from anomalib_cops import CoPS
from anomalib_cops.models import assembly
load, loading = assembly.load_encoder, []
def timed(*arguments):
    begin = time.perf_counter()
    clip = load(*arguments)
    loading.append(time.perf_counter() - begin)
    return clip
assembly.load_encoder = timed
CoPS(backbone="tiny")
made = time.perf_counter() - registered
print(json.dumps({"registering": registered - start, "making": made - sum(loading)}))
"""


def measure_start(backbone: str, repetitions: int) -> dict[str, Any]:
    """Start new processes in turns.

    Args:
        backbone: open_clip name of the exported model's backbone, or "tiny"; its weights are random.
        repetitions: Number of starts of each program.
    """
    imports = interleaved({code: lambda code=code: _run(code) for code in IMPORTS}, repetitions)  # type: ignore[misc]
    parts = [json.loads(_run(OWN_PART).splitlines()[-1]) for _ in range(repetitions)]
    own = {name: statistics.median(each[name] for each in parts) for name in parts[0]}
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (600, 600, 3), np.uint8)).save(picture)
        graphs = _export(backbone, folder)
        tasks = {name: lambda path=path: _run(FIRST_SCORE, path, str(picture)) for name, path in graphs.items()}
        for task in tasks.values():
            task()
        first_score = interleaved(tasks, repetitions)
    return {
        "backbone": backbone,
        "repetitions": repetitions,
        "imports": imports,
        "own_part": own,
        "first_score": first_score,
    }


def _export(backbone: str, folder: str) -> dict[str, str]:
    """Export CoPS for each runtime that is installed, and return the files."""
    found = {name: method for name, (package, method) in RUNTIMES.items() if find_spec(package)}
    model = CoPS(**random_weights(backbone, folder), visualizer=False).eval()
    with contextlib.redirect_stdout(io.StringIO()):  # torch's exporter reports its steps
        return {name: str(getattr(model, method)(Path(folder))) for name, method in found.items()}


def _run(code: str, *arguments: str) -> str:
    """Run a program to its end, and return what it printed."""
    # Installed packages have bytecode, so a checkout may keep its own, too.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if code in (HOST, OWN_PART):
        environment["ANOMALIB_COPS_AUTOLOAD"] = "0"
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
