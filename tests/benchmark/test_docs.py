"""Test that docs/benchmark.md agrees with the code."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli import COMMANDS
from benchmark.measure.maps import pack_maps
from benchmark.measure.outputs import CategoryOutput, Predictions
from benchmark.plan.backbones import BackboneConfig
from benchmark.plan.configuration import built_in, read_matrix
from benchmark.plan.data_settings import DataSettings
from benchmark.plan.entries import MethodConfig, Transfer
from benchmark.plan.matrix import Matrix
from benchmark.records.result import METRICS, Result
from benchmark.run.command import arguments
from tests.benchmark.fake import schedule

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/benchmark.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("kind", [Matrix, BackboneConfig, Transfer, MethodConfig, DataSettings, Result])
def test_every_field_is_on_the_page(kind):
    assert not [each.name for each in dataclasses.fields(kind) if f"`{each.name}`" not in PAGE]


@pytest.mark.parametrize("name", [*built_in()])
def test_every_configuration_is_on_the_page(name):
    assert f"| `{name}` |" in PAGE


def test_every_command_is_on_the_page():
    for name in COMMANDS:
        assert f"python -m benchmark {name}" in PAGE


def test_the_arguments_of_run_that_the_page_names_exist():
    known = arguments().format_help()
    for command in re.findall(r"python -m benchmark run (.*)", PAGE):
        for option in re.findall(r"--[a-z-]+", command):
            assert option in known


def test_the_example_is_a_benchmark_of_at_most_twenty_lines(tmp_path):
    (text,) = blocks("yaml")
    assert len(text.splitlines()) <= 20
    (tmp_path / "my.yaml").write_text(text)
    assert len(read_matrix(str(tmp_path / "my.yaml")).cells()) == 3 * (3 * 2 + 1)


def test_the_snippet_reads_kept_maps(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "results/benchmark/maps/abc"
    folder.mkdir(parents=True)
    masks = np.zeros((2, 8, 8), bool)
    masks[1, :3, :3] = True
    predictions = Predictions(np.array([0.1, 0.9]), np.array([0, 1]), masks.astype(np.float32), masks)
    (folder / "bolt.npz").write_bytes(pack_maps(CategoryOutput(predictions, ["a", "b"], 1.0)))
    monkeypatch.chdir(tmp_path)
    (snippet,) = blocks("python")
    exec(compile(snippet, "benchmark.md", "exec"), {})  # noqa: S102 (our own page)
    assert capsys.readouterr().out == "bolt 1.0\n"


def test_the_folder_is_as_the_page_says(tmp_path):
    schedule(tmp_path / "results").run()
    for path in (tmp_path / "results/cells").rglob("*.json"):
        result = json.loads(path.read_text())
        place = path.relative_to(tmp_path / "results")
        assert re.fullmatch(r"cells/[a-z0-9.-]+/tiny/\w+--\w+--seed\d+--[0-9a-f]{12}\.json", place.as_posix())
        assert result["fingerprint"] in path.name and (result["format"], result["kind"]) == (1, "accuracy")
        assert all(set(each["scores"]) <= set(METRICS) for each in result["categories"].values())
    assert {each.name for each in (tmp_path / "results").iterdir()} == {"cells", "trained", "pictures", ".locks"}


def test_the_committed_run_is_small_and_holds_no_pictures():
    folder = ROOT / "benchmark/results"
    kept = [path for path in (folder / "cells").rglob("*.json")]
    assert kept and sum(path.stat().st_size for path in kept) < 1_000_000
    ignored = (ROOT / ".gitignore").read_text().splitlines()  # the one that builds of packages read, too
    assert {f"/benchmark/results/{name}/" for name in ("pictures", "maps", "trained")} <= set(ignored)
    for path in kept:
        settings = json.loads(path.read_text())["settings"]
        assert not Path(settings["target"]).is_absolute() and not Path(settings["training"]["source"]).is_absolute()


def test_the_committed_run_is_a_whole_quick():
    results = [json.loads(path.read_text()) for path in (ROOT / "benchmark/results/cells").rglob("*.json")]
    assert {result["method"] for result in results} == {method.name for method in read_matrix("quick").methods}
    assert {result["backbone"] for result in results} == {"tiny"}
    assert "synthetic" in {result["target"] for result in results}
    assert all(not result["failures"] and set(result["expected"]) == set(result["categories"]) for result in results)
