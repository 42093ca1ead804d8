"""Test what identifies a result: resolved options, encoder and version; and that earlier results are still read."""

import json
import shutil
from pathlib import Path

import pytest

from anomalib_cops.encoder import tiny
from anomalib_cops.models.cops.settings import PRESETS
from benchmark.plan import resolved
from benchmark.plan.entries import MethodConfig, Transfer
from benchmark.plan.matrix import Matrix
from benchmark.records.store import Store
from benchmark.report.table_command import table
from benchmark.run.runner import ModelRunner
from tests.benchmark.fake import FakeRunner, schedule

ROOT = Path(__file__).parents[2]


def prepared(options=None, model="CoPS", test_options=None, **transfer):
    """Return the prepared cell of one method."""
    rows = [MethodConfig("Row", model, options or {}, test_options or {})]
    matrix = Matrix(rows, [Transfer("synthetic", ["synthetic"], **transfer)], backbone="tiny")
    (cell,) = ModelRunner().prepare(matrix.cells())
    return cell


def test_a_default_that_is_given_is_the_same_and_a_changed_one_is_not(monkeypatch):
    plain = prepared()
    given = prepared({"epochs": 10, "n_prototypes": 6, "preset": "default", "image_size": 120})
    assert plain.training.options != given.training.options
    assert plain.fingerprint == given.fingerprint and plain.training.fingerprint == given.training.fingerprint
    settings = plain.training.settings["resolved"]
    assert settings["settings"]["n_prototypes"] == 6 and settings["training"] == {"epochs": 10, "learning_rate": 0.001}
    changed = [{"epochs": 3}, {"n_prototypes": 4}, {"preset": "mvtec"}, {"seed": 1}, {"quick_gelu": False}]
    automatic = [{"n_prototypes": "auto"}, {"n_samples": "auto"}]
    for other in changed + automatic:
        assert prepared(other).training.fingerprint != plain.training.fingerprint
    assert prepared(test_options={"spatial": False}).training.fingerprint == plain.training.fingerprint
    assert prepared(test_options={"spatial": False}).fingerprint != plain.fingerprint
    monkeypatch.setitem(PRESETS["default"], "alpha", 0.5)
    assert prepared().fingerprint != plain.fingerprint


def test_another_encoder_is_another_result(monkeypatch, tmp_path):
    plain = prepared()
    assert plain.training.resolved["encoder"]["pretrained"].startswith("sha256:")
    changed = tmp_path / "tiny.safetensors"
    changed.write_bytes(tiny.tiny_weights().read_bytes() + b" ")
    monkeypatch.setattr(tiny, "tiny_weights", lambda _backbone: changed)
    assert prepared().fingerprint != plain.fingerprint
    # A file is known by its content, a tag by its name.
    large = {"backbone": "ViT-B-16", "quick_gelu": False}
    one, two = tmp_path / "one.pt", tmp_path / "two.pt"
    one.write_bytes(b"weights")
    shutil.copy(one, two)
    assert (
        prepared({**large, "pretrained": str(one)}).fingerprint
        == prepared({**large, "pretrained": str(two)}).fingerprint
    )
    two.write_bytes(b"others!")
    assert (
        prepared({**large, "pretrained": str(one)}).fingerprint
        != prepared({**large, "pretrained": str(two)}).fingerprint
    )
    tags = {
        prepared({"backbone": "ViT-B-16", "pretrained": tag}).fingerprint for tag in ("openai", "laion2b_s34b_b88k")
    }
    assert len(tags) == 2


def test_releases_that_compute_the_same_share_results(monkeypatch):
    plain = prepared()
    prints = []
    for version in ("0.1.7", "0.2.0"):
        monkeypatch.setattr(resolved, "__version__", version)
        prints.append(prepared().fingerprint)
    assert prints[0] == plain.fingerprint != prints[1]


def test_models_of_others_are_known_by_their_defaults_and_versions(monkeypatch):
    path = "tests.benchmark.foreign.Darkness"
    plain = prepared(model=path)
    assert plain.training.resolved["settings"] == {"power": 1.0, "pre_processor": True}
    assert prepared({"power": 1.0}, model=path).fingerprint == plain.fingerprint
    assert prepared({"power": 2.0}, model=path).fingerprint != plain.fingerprint
    winclip = prepared(model="anomalib.models.WinClip").training.resolved
    assert winclip["versions"]["anomalib"] == "2.7" and winclip["settings"]["k_shot"] == 0


@pytest.mark.parametrize("options", [{"n_prototypes": 0}, {"preset": "vsa"}, {"alpha": 7}])
def test_values_that_are_not_allowed_are_refused_before_anything_runs(options):
    with pytest.raises(ValueError, match=str(next(iter(options)))):
        prepared(options)


@pytest.mark.parametrize(
    ("test_options", "words"),
    [
        ({"n_prototypes": 4}, "test_options has n_prototypes, which a trained CoPS cannot change"),
        ({"epochs": 1}, "test_options has epochs"),
        ({"weights": "visa"}, "test_options has weights"),
        ({"n_samples": "auto"}, "test_options has n_samples: auto, which a training chooses"),
        ({"n_samples": 0}, "n_samples"),
    ],
)
def test_options_that_are_nothing_to_a_test_are_refused_before_anything_runs(test_options, words):
    with pytest.raises(ValueError, match=words):
        prepared(test_options=test_options)


def test_results_of_the_first_version_are_read_and_made_again(tmp_path, capsys):
    folder = tmp_path / "results"
    assert schedule(folder).run().failures == []
    for path in (folder / "cells").rglob("*.json"):
        content = json.loads(path.read_text())
        assert "method" in content["settings"]
        # As the first version wrote them: without the row, and under another fingerprint.
        del content["settings"]["method"]
        content["fingerprint"] = "0123456789ab"
        path.with_name(path.name.rsplit("--", 1)[0] + "--0123456789ab.json").write_text(json.dumps(content))
        path.unlink()
    before = table(folder, "csv")
    assert "several settings" not in capsys.readouterr().err
    again = schedule(folder, runner=FakeRunner(tmp_path / "again"), provenance={"date": "2026-01-01"}).run()
    assert again.tested == 4 * 9 and len(Store(folder).results()) == 2 * 12
    assert table(folder, "csv") == before
    assert "several settings" in capsys.readouterr().err


def test_the_committed_results_are_read(capsys):
    assert table(ROOT / "benchmark/results", "csv").count("\n") > 100
    assert capsys.readouterr().err == ""
