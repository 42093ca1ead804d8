"""Test a computer at the line: an installation without torch that runs an exported model."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from anomalib_cops import Predictor
from tests.docs.pages import ROOT
from tests.models.cases import CASES
from tests.models.runs import Trained

SCORE = """
import sys
from importlib.util import find_spec
from anomalib_cops import Predictor

assert not find_spec("torch") and not find_spec("anomalib")
print(repr(Predictor(sys.argv[1])(sys.argv[2]).score))
"""


@pytest.fixture(scope="session")
def trained(trained_method: Callable[[str], Trained]) -> Trained:
    """Return the method with the quickest export, in place of all methods."""
    return trained_method("AnomalyCLIP")


def test_the_documented_installation_scores_an_image(
    exported: Callable[[str], Path], image_folder: Path, tmp_path: Path, trained: Trained, unchecked: None
) -> None:
    model = exported("onnx")
    python = tmp_path / "edge/bin/python"
    commands = (ROOT / "docs/predictor.md").read_text().partition("without its other dependencies:")[2]
    lines = [line.split() for line in commands.splitlines() if line.startswith("pip install")][:2]
    assert [line[:3] for line in lines] == [["pip", "install", "--no-deps"], ["pip", "install", "numpy"]]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "edge"], check=True)
    for line in lines:
        subprocess.run([python, "-m", *line, "--quiet", "--disable-pip-version-check"], check=True, cwd=ROOT)
    picture = image_folder / "a_rgb.png"
    ran = subprocess.run([python, "-c", SCORE, model, picture], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    settings = CASES[trained.name].exportable
    weights = model.parents[2] / "w.safetensors"
    expected = Predictor(trained.name, weights=weights, device="cpu", **settings)(Image.open(picture)).score
    assert float(ran.stdout) == pytest.approx(expected, abs=1e-5)
