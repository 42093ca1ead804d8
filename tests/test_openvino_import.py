"""Test that OpenVINO reports nothing once this package has imported it."""

import os
import subprocess
import sys
from pathlib import Path

# In a process of its own, since the tests' own process is silent from its start. OpenVINO is loaded before us.
CODE = """
import multiprocessing, time, warnings
warnings.simplefilter("ignore")
import torch

reports = []
class Recorded:
    def __init__(self, *_, **__):
        reports.append(1)
    start = join = lambda *_: None
    is_alive = lambda _: False

multiprocessing.Process = Recorded
import openvino
from openvino_telemetry import Telemetry
from anomalib_cops.openvino_import import import_openvino

def convert(package):
    reports.clear()
    package.convert_model(torch.nn.ReLU(), example_input=torch.zeros(1))
    while Telemetry().sender.queue_size:
        time.sleep(0.01)
    return len(reports)

before = convert(openvino)
print("reports", before > 0, convert(import_openvino()))
"""


def test_conversions_are_not_reported(tmp_path: Path) -> None:
    # OpenVINO itself is silent where one of these says that a CI runs, and without a home.
    env = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    run = subprocess.run(
        [sys.executable, "-c", CODE], env=env | {"HOME": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert run.stdout.split("reports")[-1].split() == ["True", "0"]


SIGNAL = """
import os, signal, sys
from pathlib import Path
import openvino
from openvino import opset13
from anomalib_cops.inference.exported import OpenVinoModel

image = opset13.parameter([1, 3, 8, 8])
openvino.save_model(openvino.Model([opset13.relu(image)], [image], "relu"), "relu.xml")
first, second = (OpenVinoModel(Path("relu.xml"), None, 1, None, "32-true") for _ in range(2))
del first
del second
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_signals_are_handled_after_two_graphs_were_open(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", SIGNAL], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "handled\n"), run.stderr
