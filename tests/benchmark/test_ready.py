"""Test weights that replace a training: recorded, never tested on what they have seen, fetched before anything runs."""

import hashlib
import shutil
from dataclasses import replace

import pytest
import torch
from huggingface_hub import constants as hub

from anomalib_cops import CoPS, network
from anomalib_cops.data.synthetic import CATEGORIES
from anomalib_cops.data.train_test_overlap import data_records
from anomalib_cops.registry import METHODS
from anomalib_cops.weights.download import cached_path
from anomalib_cops.weights.published import PUBLISHED
from benchmark.cli import main
from benchmark.plan import configuration
from benchmark.plan.entries import MethodConfig, Transfer
from benchmark.plan.matrix import Matrix
from benchmark.records.store import Store
from benchmark.report.table_command import table
from benchmark.run.runner import ModelRunner
from tests.benchmark.test_runner import DATA, draw_folder, run
from tests.models.cases import official_stand_in


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("root")
    draw_folder(folder / "parts/bolt")
    for name in ("mvtec", "visa"):
        draw_folder(folder / name / "screw")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Save prompts that name half of the synthetic categories as what they were trained on."""
    model = CoPS(backbone="tiny", neighbourhood=1, visualizer=False)
    model.trained_on = [{"set": "synthetic", "categories": list(CATEGORIES[::2])}]
    return model.save_weights(tmp_path_factory.mktemp("weights") / "mine.safetensors")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Let no server answer, and no cache hold anything."""
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(network, "unreachable", lambda _: "cannot be reached (no network)")


def cells(root, options, *transfers):
    runner = ModelRunner(root)
    matrix = Matrix([MethodConfig("Mine", "CoPS", options)], list(transfers), backbone="tiny", data=DATA)
    return runner, runner.prepare(matrix.cells(root))


def command(tmp_path, text, *more):
    path = tmp_path / "ready.yaml"
    path.write_text(text)
    return main(["run", str(path), "--output", str(tmp_path / "results"), *more])


def test_a_result_says_which_weights_it_is_of_and_what_they_were_trained_on(root, weights, tmp_path):
    rows = [MethodConfig("Mine", "CoPS", {"weights": str(weights)})]
    assert run(tmp_path / "results", root, rows, [str(root / "parts")]).failures == []
    ((_, found),) = Store(tmp_path / "results").results()
    kept = found.settings["training"]["resolved"]["weights"]
    assert kept["digest"] == "sha256:" + hashlib.sha256(weights.read_bytes()).hexdigest()
    assert kept["trained_on"] == [{"set": "synthetic", "categories": list(CATEGORIES[::2])}]
    assert found.training.images == 0 and not list((tmp_path / "results/trained").rglob("*.safetensors"))
    assert "| Mine | synthetic |" in table(tmp_path / "results", "markdown")
    # Of the synthetic world what is left is tested.
    runner, (cell,) = cells(root, {"weights": str(weights)}, Transfer("synthetic", ["synthetic"]))
    assert list(runner.survey(cell)) == list(CATEGORIES[1::2])


def test_other_content_is_another_result_and_another_place_is_not(root, weights, tmp_path):
    transfer = Transfer("synthetic", [str(root / "parts")])
    copied = tmp_path / "copied.safetensors"
    shutil.copy(weights, copied)
    other = CoPS(backbone="tiny", neighbourhood=1, seed=7, visualizer=False).save_weights(
        tmp_path / "other.safetensors"
    )
    prints = [
        cells(root, {"weights": str(path)}, transfer)[1][0].training.fingerprint for path in (weights, copied, other)
    ]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("options", "targets", "words"),
    [
        ("{weights: visa}", "[visa]", "'visa' were trained on visa"),
        ("{weights: visa}", "[VisA_20220922]", "'visa' were trained on visa"),
        ("{weights: MINE}", f"[synthetic], target_categories: [{CATEGORIES[0]}]", f"on synthetic ({CATEGORIES[0]})"),
    ],
)
def test_what_the_weights_have_seen_is_refused_before_anything_runs(
    weights, offline, tmp_path, capsys, options, targets, words
):
    text = (
        f"methods: [{{name: Mine, model: CoPS, options: {options.replace('MINE', str(weights))}}}]\nbackbone: tiny\n"
        f"transfers: [{{source: synthetic, targets: {targets}}}]\n"
    )
    for more in ([], ["--dry-run"]):
        assert command(tmp_path, text, *more) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_images_that_were_seen_are_known_under_any_name(root, tmp_path, capsys):
    runner, (cell,) = cells(root, {}, Transfer("synthetic", [str(root / "parts")]))
    model = CoPS(backbone="tiny", neighbourhood=1, visualizer=False)
    model.trained_on = data_records(runner.datamodules.all_samples(cell)["bolt"], None)
    path = model.save_weights(tmp_path / "seen.safetensors")
    shutil.copytree(root / "parts/bolt", tmp_path / "renamed/nut")
    text = (
        f"methods: [{{name: Mine, model: CoPS, options: {{weights: {path}}}}}]\nbackbone: tiny\n"
        f"transfers: [{{source: synthetic, targets: [{tmp_path / 'renamed'}]}}]\ndata: {{images_per_category: 2}}\n"
    )
    assert command(tmp_path, text) == 2
    assert "were trained on parts (nut), so this is not zero-shot" in capsys.readouterr().err


def test_an_official_file_is_recognised_and_a_wrong_source_is_told(root, tmp_path, monkeypatch, capsys):
    path = tmp_path / "epoch_15.pth"
    path.write_bytes(b"as published")
    digest = "sha256:" + hashlib.sha256(b"as published").hexdigest()
    monkeypatch.setitem(PUBLISHED["CoPS"], "visa", replace(PUBLISHED["CoPS"]["visa"], digest=digest, size=0))
    runner, (cell,) = cells(root, {"weights": str(path)}, Transfer("synthetic", [str(root / "parts")]))
    assert cell.training.source_name == "visa"
    assert runner.notices == [
        f"The weights '{path}' of CoPS were trained on visa, and not on synthetic, which the configuration names as "
        "source; tables say the former."
    ]
    # Of weights that do not say, the configuration does.
    path.write_bytes(b"of unknown origin")
    runner, (cell,) = cells(root, {"weights": str(path)}, Transfer("btad", [str(root / "parts")]))
    assert (cell.training.source_name, runner.notices) == ("btad", [])
    assert command(tmp_path, f"methods: [{{name: A, model: CoPS, options: {{weights: {path}}}}}]\nbackbone: tiny\n"
                             "transfers: [{source: visa, targets: [visa]}]\n") == 2  # fmt: skip
    assert "were trained on visa" in capsys.readouterr().err


def test_published_plans_without_a_network(root, offline, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("the network was asked"))
    assert main(["run", "published", "--root", str(root), "--output", str(tmp_path / "results"), "--dry-run"]) == 0
    plan = " ".join(capsys.readouterr().out.split())
    assert "0 trainings" in plan and "The weights 'openai' of backbone 'ViT-L-14-336' are not here" in plan
    for model, name in (("CoPS", "visa"), ("AnomalyCLIP", "mvtec"), ("AdaCLIP", "mvtec_colondb")):
        assert f"The weights '{name}' of {model} are not here; a run downloads them." in plan
    assert "The weights 'visa' of VCPCLIP are not here; get the file from https://drive.google.com" in plan


def test_without_a_network_published_says_of_every_method_what_it_lacks(root, offline, tmp_path, capsys):
    assert main(["run", "published", "--root", str(root), "--output", str(tmp_path / "results")]) == 2
    said = capsys.readouterr().err
    assert "cannot be run: CoPS, AnomalyCLIP, AdaCLIP, VCP-CLIP: The weights 'openai' of backbone" in said
    for row, model in (("CoPS", "CoPS"), ("AnomalyCLIP",) * 2, ("AdaCLIP",) * 2, ("VCP-CLIP", "VCPCLIP")):
        for name in ("visa", "mvtec", "visa_clinicdb", "mvtec_colondb"):
            needed = name in PUBLISHED[model]
            assert needed == (f"cannot be run: {row}: The weights '{name}' of {model}" in said)
    assert "nothing can be run without these weights" in said and not (tmp_path / "results").exists()


def test_published_runs_what_is_there_and_trains_nothing(root, offline, tmp_path, capsys, monkeypatch):
    text = (
        configuration.find_config("published")
        .read_text()
        .replace("num_workers: 4", "num_workers: 0, images_per_category: 2")
    )
    text = text.replace("ViT-L-14-336", "tiny").replace("pictures: 6", "pictures: 0")
    for model in METHODS:
        path = tmp_path / f"{model}.pth"
        torch.save(official_stand_in(model), path)
        for name in PUBLISHED[model] if model != "VCPCLIP" else ():
            digest = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
            monkeypatch.setitem(PUBLISHED[model], name, replace(PUBLISHED[model][name], digest=digest, size=0))
            cached_path(model, name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, cached_path(model, name))
    monkeypatch.setattr("benchmark.run.runner.Engine", lambda *_, **__: pytest.fail("something was trained"))
    assert command(tmp_path, text, "--root", str(root)) == 1
    assert "cannot be run: VCP-CLIP: The weights 'visa' of VCPCLIP" in capsys.readouterr().err
    found = {(each.method, each.target): each for _, each in Store(tmp_path / "results").results()}
    assert {key: each.source for key, each in found.items()} == {
        **{("CoPS", target): "visa" for target in ("mvtec", "parts")},
        ("CoPS", "visa"): "mvtec",
        **{("AnomalyCLIP", target): "mvtec" for target in ("visa", "parts")},
        ("AnomalyCLIP", "mvtec"): "visa",
        **{("AdaCLIP", target): "mvtec + cvc_colondb" for target in ("visa", "parts")},
        ("AdaCLIP", "mvtec"): "visa + cvc_clinicdb",
    }
    assert all(not each.failures and each.categories and not each.training.images for each in found.values())
