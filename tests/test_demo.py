"""Test the demo on very little data."""

import json

import pandas as pd
import pytest
from PIL import Image

from anomalib_cops import CoPS, demo


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    assert demo.main(["--output", str(folder), "--samples", "4", "--epochs", "1", "--no-elpv"]) == 0
    return folder


def test_figures_name_backbone_source_and_machine(output):
    result = json.loads((output / "results.json").read_text())
    assert "stand-in" in result["backbone"]
    assert (result["method"], result["source"], result["seed"]) == ("CoPS", "synthetic", 0)
    assert {"anomalib", "torch", "anomalib-cops"} <= set(result["versions"])
    assert result["machine"]["cores"] >= 1
    for row in result["targets"].values():
        assert 0 <= row["I-AUROC"] <= 1 and 0 <= row["P-AUROC"] <= 1


def test_csv_holds_the_same_figures(output):
    result = json.loads((output / "results.json").read_text())
    table = pd.read_csv(output / "results.csv", index_col="target")
    assert set(table.index) == set(result["targets"])
    for name, row in result["targets"].items():
        assert table.loc[name, "I-AUROC"] == pytest.approx(row["I-AUROC"])


def test_sheet_shows_every_target(output):
    with Image.open(output / "sheet.png") as grid:
        rows = len(json.loads((output / "results.json").read_text())["targets"])
        assert grid.height > 80 * rows
        assert len(grid.convert("RGB").getcolors(grid.width * grid.height)) > 1000


def test_prompts_are_ready_to_use(output):
    assert CoPS(weights=str(output / "cops.safetensors")).has_trained_weights


def test_nothing_half_written_is_left(output):
    assert not [path for path in output.iterdir() if path.name.startswith(".")]


def test_a_missing_folder_is_one_sentence(tmp_path, capsys):
    arguments = ["--output", str(tmp_path), "--samples", "4", "--no-elpv", "--folders", str(tmp_path / "nowhere")]
    assert demo.main(arguments) == 2
    assert "nowhere" in capsys.readouterr().err.splitlines()[-1]


def test_solar_cells_come_from_the_installed_package():
    cells = demo.solar_cells()
    assert set(cells) == {"elpv/mono", "elpv/poly"}
    assert sum(len(part) for part in cells.values()) == 2624
    labels = pd.concat([part.samples.label_index for part in cells.values()])
    assert 0 < labels.sum() < 2624
    item = cells["elpv/mono"][0]
    assert item.image.shape == (3, 300, 300) and item.gt_mask is None
