"""Test that a table has the figures of ``anomalib predict``, with the true models."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalib_cops import CoPS
from anomalib_cops.scoring import command
from anomalib_cops.scoring.run import open_table
from tests.models.runs import engine

SCORES = 1e-6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    levels = np.random.default_rng(3)
    for number, size in enumerate([(60, 50), (40, 90), (1, 1), (64, 64)]):
        Image.fromarray(levels.integers(0, 256, (*size, 3), np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return CoPS(backbone="tiny", seed=3).save_weights(tmp_path_factory.mktemp("weights") / "cops.safetensors")


def predicted(folder: Path, weights: Path, here: Path) -> Iterator[tuple[str, str, str, str]]:
    model = CoPS(backbone="tiny", weights=str(weights), visualizer=False)
    engine(here).predict(model, data_path=folder, return_predictions=False)
    with next(here.rglob("scores.csv")).open(newline="") as file:
        for row in csv.DictReader(file):
            yield row["path"], row["score"], row["label"], row["threshold"]


@pytest.mark.parametrize("words", [("--model", "CoPS", "--model.weights"), ("--model",)])
def test_the_table_has_the_figures_of_predict(folder: Path, weights: Path, tmp_path: Path, words: tuple) -> None:
    output = tmp_path / "scores.csv"
    assert command.main([str(folder), *words, str(weights), "--output", str(output), "--device", "cpu"]) == 0
    rows = {row.path: row for row in open_table(output).rows()}
    expected = list(predicted(folder, weights, tmp_path / "predict"))
    assert set(rows) == {path for path, *_ in expected} and len(rows) == 4
    for path, score, label, threshold in expected:
        row = rows[path]
        assert row.score == pytest.approx(float(score), abs=SCORES)
        assert (row.label, row.threshold) == (int(label) if label else None, float(threshold) if threshold else None)
        with Image.open(path) as image:
            assert (row.width, row.height) == image.size
