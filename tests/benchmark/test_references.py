"""Test real models with references: this package's, WinCLIP and PatchCore; no reference is tested."""

import functools
import shutil
from dataclasses import replace

import numpy as np
import open_clip
import pytest
import torch
from anomalib.data import ImageBatch
from anomalib.models import WinClip
from anomalib.models.image.winclip import torch_model as winclip
from huggingface_hub import constants as hub
from torchvision.transforms.v2.functional import to_dtype, to_image

from anomalib_cops import network
from anomalib_cops.data.good_images import read_levels
from anomalib_cops.errors import InputError
from benchmark.cli import main
from benchmark.measure.inference import _Collector
from benchmark.measure.maps import read_maps
from benchmark.plan.cells import Cell
from benchmark.plan.entries import MethodConfig, Transfer
from benchmark.plan.matrix import Matrix
from benchmark.records.store import Store
from benchmark.run import models
from benchmark.run.local import LocalExecutor
from benchmark.run.runner import ModelRunner
from benchmark.run.schedule import Schedule
from tests.benchmark.fake import RUN, Silent
from tests.benchmark.test_runner import DATA as RUNNER_DATA
from tests.benchmark.test_runner import QUICK, SOURCE, draw_folder

DATA = replace(RUNNER_DATA, val_fraction=0.25)
FITTED = MethodConfig(
    "PatchCore",
    "anomalib.models.Patchcore",
    {"backbone": "resnet18", "pre_trained": False},
    backbone="tiny",
    role="baseline",
    fitted_on="references",
)
WINCLIP = MethodConfig("WinCLIP", "anomalib.models.WinClip", backbone="tiny", role="baseline")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("root")
    draw_folder(folder / "parts/bolt", good=6)
    return folder


def plan(root, methods, shots, draws=(0,), targets=None, **options):
    """Return a runner and the prepared cells."""
    transfer = Transfer("synthetic", targets or [str(root / "parts")], SOURCE, **options)
    matrix = Matrix(methods, [transfer], backbone="tiny", data=DATA, shots=list(shots), draws=list(draws))
    matrix.check()
    runner = ModelRunner(root, save_maps=True)
    return runner, runner.prepare(matrix.cells(root))


def run(folder, runner, cells):
    return Schedule(cells, Store(folder), runner, LocalExecutor(), Silent(), RUN).run()


def categories(folder, name):
    """Return the figures of the category bolt by method and number of references."""
    return {(each.method, each.shots): each.categories[name] for _, each in Store(folder).results()}


@pytest.fixture(scope="module")
def own(root, tmp_path_factory):
    """Run CoPS with references."""
    folder = tmp_path_factory.mktemp("own") / "results"
    runner, cells = plan(root, [MethodConfig("CoPS", "CoPS", QUICK)], [0, 1, 2, 4])
    assert run(folder, runner, cells).failures == []
    return folder, runner, cells


def test_one_training_serves_all_numbers_which_see_the_same_images(own):
    folder, _, _ = own
    found = categories(folder, "bolt")
    assert len(list((folder / "trained").iterdir())) == 1
    # Half of six normal images are tested, so four references are three.
    assert {shots: each.references for (_, shots), each in found.items()} == {0: 0, 1: 1, 2: 2, 4: 3}
    assert len({each.images for each in found.values()}) == 1
    assert {(each.normal, each.anomalous) for each in found.values()} == {(3, 3)}
    paths = {tuple(np.load(path)["paths"]) for path in (folder / "maps").rglob("bolt.npz")}
    scores = {read_maps(path).scores.tobytes() for path in (folder / "maps").rglob("bolt.npz")}
    assert len(paths) == 1 and len(scores) == 4


def test_tiles_are_an_option_of_the_test(root, tmp_path):
    options = {"test_options": {"tiles": "20/5"}}
    methods = [MethodConfig("CoPS", "CoPS", QUICK), MethodConfig("CoPS, tiles", "CoPS", QUICK, **options)]
    runner, cells = plan(root, methods, [0, 2])
    assert run(tmp_path, runner, cells).failures == []
    assert len(list((tmp_path / "trained").iterdir())) == 1, "one training serves both"
    for cell in cells:
        (path,) = (tmp_path / "maps").rglob(f"{cell.fingerprint}/bolt.npz")
        found = read_maps(path)
        assert found.maps.shape[1:] == ((48, 40) if cell.test_options else (120, 120))
        assert np.isfinite(found.scores).all()


def test_maps_of_another_size_than_the_masks_are_not_fitted_in_silence():
    collector = _Collector(all_maps=True, keeps_sizes=False)
    plane, mask = torch.zeros(1, 4, 5), torch.zeros(1, 8, 10, dtype=torch.bool)
    batch = ImageBatch(image=torch.zeros(1, 3, 8, 10), gt_label=torch.tensor([1]), gt_mask=mask)
    collector.on_test_batch_start()
    collector.on_test_batch_end(None, None, batch.update(anomaly_map=plane, pred_score=torch.zeros(1)), batch, 0)
    with pytest.raises(InputError, match=r"maps of It have the shape \(4, 5\), masks \(8, 10\)"):
        collector.output("It")


def test_no_reference_is_tested(own):
    _, runner, cells = own
    for cell in cells:
        images = runner.samples(cell, "bolt")
        assert len(images.pool) == 3 and not set(images.pool["image_path"]) & set(images.test["image_path"])


def test_figures_at_the_threshold_are_those_of_the_models_own(own):
    folder, runner, cells = own
    found = categories(folder, "bolt")
    assert {shots: "recall" in each.scores for (_, shots), each in found.items()} == {
        0: True,
        1: False,
        2: True,
        4: True,
    }
    weights = next((folder / "trained").glob("*/weights.safetensors"))
    for cell in cells:
        shots = cell.references.shots
        model = models.load("CoPS", {**QUICK, "backbone": "tiny"}, weights)
        if shots:
            model.load_references(list(runner.samples(cell, "bolt").pool["image_path"])[:shots])
        if shots >= 2:
            model.calibrate(None, false_alarm_rate=0.05)
        threshold = float(model.post_processor._image_threshold)
        assert np.isnan(threshold) == (shots == 1)
        kept = read_maps(folder / "maps" / cell.fingerprint / "bolt.npz")
        for name, label in (("false_alarm_rate", 0), ("recall", 1)):
            share = float((kept.scores[kept.labels == label] > threshold).mean())
            assert found["CoPS", shots].scores.get(name, share) == share


def test_zero_references_are_zero_shot_also_after_others(own, tmp_path):
    folder, runner, cells = own
    again = tmp_path / "results"
    shutil.copytree(folder / "trained", again / "trained")
    assert run(again, runner, [cells[2], cells[0]]).failures == []
    before, after = categories(folder, "bolt"), categories(again, "bolt")
    assert {shots for _, shots in after} == {0, 2}
    assert {key: each.scores for key, each in after.items()} == {key: before[key].scores for key in after}


def test_synthetic_pictures_are_references_too(tmp_path):
    runner, cells = plan(
        tmp_path,
        [MethodConfig("CoPS", "CoPS", QUICK), FITTED],
        [2],
        targets=["synthetic"],
        target_categories=["carpet"],
    )
    assert run(tmp_path / "results", runner, cells).failures == []
    found = categories(tmp_path / "results", "carpet")
    assert len({each.images for each in found.values()}) == 1 and {each.references for each in found.values()} == {2}


def test_a_copy_of_a_reference_is_a_failure_with_one_sentence(root, tmp_path):
    shutil.copytree(root / "parts", tmp_path / "parts")
    runner, (cell,) = plan(tmp_path, [FITTED], [2])
    images = runner.samples(cell, "bolt")
    shutil.copy(images.pool["image_path"].iloc[0], images.test.query("label_index == 0")["image_path"].iloc[0])
    runner, cells = plan(tmp_path, [FITTED], [2])
    assert runner.survey(cells[0]) == {"bolt": ""}
    (failure,) = run(tmp_path / "results", runner, cells).failures
    assert "has the same content as an image that references are taken from" in failure and "Traceback" not in failure


def small_clip(name, pretrained=None, **_):
    """Make a random CLIP with the grid of WinCLIP's."""
    assert (name, pretrained) == (winclip.BACKBONE, winclip.PRETRAINED)
    torch.manual_seed(0)
    vision = {"image_size": 240, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    return open_clip.CLIP(16, vision, text).eval(), None, None


@pytest.fixture
def random_winclip(monkeypatch):
    """Give WinCLIP random weights, and return the references that its models are given."""
    given = []
    setup = winclip.WinClipModel.setup

    @functools.wraps(setup)
    def spied(self, class_name=None, reference_images=None):
        given.append((class_name, reference_images))
        return setup(self, class_name, reference_images)

    monkeypatch.setattr(winclip.open_clip, "create_model_and_transforms", small_clip)
    monkeypatch.setattr(winclip.WinClipModel, "setup", spied)
    return given


def test_winclip_and_patchcore_get_the_same_references(root, tmp_path, random_winclip):
    runner, cells = plan(root, [WINCLIP, FITTED], [0, 1, 2])
    assert run(tmp_path / "results", runner, cells).failures == []
    (_, none), (_, one), (_, two) = [each for each in random_winclip if each[0]]
    assert none is None and [each for each, _ in random_winclip if each] == ["bolt"] * 3
    # As the model sees images of the test: resized and normalised.
    prepare = WinClip.configure_pre_processor().transform
    pool = runner.samples(cells[0], "bolt").pool["image_path"]
    expected = [prepare(to_dtype(to_image(read_levels(path)), torch.float32, scale=True)) for path in pool[:2]]
    assert torch.equal(one, expected[0][None])
    assert {each.numpy().tobytes() for each in two} == {each.numpy().tobytes() for each in expected}
    results = {(each.method, each.shots): each for _, each in Store(tmp_path / "results").results()}
    assert set(results) == {("WinCLIP", 0), ("WinCLIP", 1), ("WinCLIP", 2), ("PatchCore", 1), ("PatchCore", 2)}
    found = {key: each.categories["bolt"] for key, each in results.items()}
    assert len({each.images for each in found.values()}) == 1
    assert {key: each.references for key, each in found.items()} == {key: key[1] for key in found}
    # Neither has a threshold, and none is made up.
    assert not any("recall" in each.scores for each in found.values())
    assert all({"I-AUROC", "AUPRO"} <= set(each.scores) for each in found.values())
    maps = {path.parent.name: read_maps(path).scores.tobytes() for path in (tmp_path / "results/maps").rglob("*.npz")}
    assert len(set(maps.values())) == len(maps) == 5
    assert {each.source for (method, _), each in results.items() if method == "PatchCore"} == {"references"}
    assert all(each.training.images == 0 for each in results.values())
    # A second run gives the same bits.
    runner, cells = plan(root, [FITTED], [2])
    run(tmp_path / "again", runner, cells)
    assert categories(tmp_path / "again", "bolt")["PatchCore", 2].scores == found["PatchCore", 2].scores


def test_any_model_that_learns_from_good_images_can_be_fitted_on_references(root, tmp_path):
    learner = MethodConfig("Learner", "tests.benchmark.foreign.Learner", fitted_on="references")
    runner, cells = plan(root, [learner], [1, 2])
    assert run(tmp_path / "results", runner, cells).failures == []
    assert not list((tmp_path / "results/trained").rglob("*.ckpt"))


def test_how_references_are_compared_with_is_part_of_what_identifies_a_result(root):
    rows = [MethodConfig("CoPS", "CoPS", {**QUICK, **more}) for more in ({}, {"turn_references": True})]
    prints: list[Cell] = [plan(root, [row], [1])[1][0] for row in rows]
    assert prints[0].fingerprint != prints[1].fingerprint
    default = MethodConfig("CoPS", "CoPS", {**QUICK, "turn_references": False, "memory_limit": 16384})
    assert plan(root, [default], [1])[1][0].fingerprint == prints[0].fingerprint


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Let no server answer, and no cache hold anything."""
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(network, "DEFAULT_SECONDS", 1.0)


def test_weights_that_cannot_be_fetched_are_one_sentence_per_method_and_the_others_run(
    root, tmp_path, offline, capsys, monkeypatch
):
    config = tmp_path / "few.yaml"
    config.write_text(
        "backbone: tiny\nshots: [0, 2]\n"
        "data: {images_per_category: 4, synthetic_samples: 8, synthetic_size: 64, num_workers: 0, device: cpu}\n"
        "methods:\n"
        "  - {name: WinCLIP, model: anomalib.models.WinClip, backbone: tiny}\n"
        "  - {name: PatchCore, model: anomalib.models.Patchcore, backbone: tiny, fitted_on: references}\n"
        "  - {name: Dark, model: tests.benchmark.foreign.Learner, backbone: tiny, fitted_on: references}\n"
        f"transfers: [{{source: synthetic, targets: [{root / 'parts'}]}}]\n"
    )
    arguments = ["run", str(config), "--output", str(tmp_path / "results")]
    assert main([*arguments, "--dry-run"]) == 0
    plan = " ".join(capsys.readouterr().out.split())
    assert "The weights 'laion400m_e31' of open_clip's ViT-B-16-plus-240 are not here; a run downloads them." in plan
    assert "The weights of timm's wide_resnet50_2 are not here; a run downloads them." in plan
    assert main(arguments) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cannot be run")]
    assert [line.split(" could not be fetched (http://127.0.0.1:9 ")[0] for line in said] == [
        "cannot be run: WinCLIP: The weights 'laion400m_e31' of open_clip's ViT-B-16-plus-240",
        "cannot be run: PatchCore: The weights of timm's wide_resnet50_2",
    ]
    assert all(line.endswith("connect once, or leave the method out by --methods.") for line in said)
    assert {each.method for _, each in Store(tmp_path / "results").results()} == {"Dark"}
