"""Train and test real models, this package's and anomalib's, on few synthetic images and folders."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import Resize

from anomalib_cops import CoPS, ZeroShotTransfer
from anomalib_cops.data import LabelledImages
from anomalib_cops.data.synthetic import CATEGORIES
from benchmark.cli import main
from benchmark.measure.maps import read_maps
from benchmark.measure.metrics import score
from benchmark.plan.data_settings import DataSettings
from benchmark.plan.entries import MethodConfig, Transfer
from benchmark.plan.matrix import Matrix
from benchmark.plan.samples import limit_samples, samples_digest
from benchmark.records.result import AT_THRESHOLD
from benchmark.records.store import Store
from benchmark.report.leaderboard import boards
from benchmark.report.table_command import table
from benchmark.run.dry_run import print_plan
from benchmark.run.image_cache import ImageCache
from benchmark.run.local import LocalExecutor
from benchmark.run.runner import ModelRunner
from benchmark.run.schedule import Schedule
from tests.benchmark.fake import RUN, Silent
from tests.models.runs import engine

DATA = DataSettings(
    images_per_category=6,
    synthetic_samples=8,
    synthetic_size=64,
    train_batch_size=4,
    eval_batch_size=4,
    num_workers=0,
    device="cpu",
)
SOURCE = ["leather", "washer"]
QUICK = {"epochs": 1, "neighbourhood": 1}


def draw_folder(folder, masks=True, good=4, defects=4):
    """A category of grey pictures, with dark squares as defects."""
    rng = np.random.default_rng(0)
    for kind, count in (("good", good), ("defect", defects)):
        (folder / kind).mkdir(parents=True)
        for index in range(count):
            levels = rng.integers(150, 255, (48, 40), np.uint8)
            mask = np.zeros_like(levels)
            if kind == "defect":
                levels[10 : 20 + index, 10:20] = 0
                mask[10 : 20 + index, 10:20] = 255
                if masks:
                    (folder / "mask").mkdir(exist_ok=True)
                    Image.fromarray(mask).save(folder / "mask" / f"{index}.png")
            Image.fromarray(levels).save(folder / kind / f"{index}.png")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("root")
    draw_folder(folder / "parts/bolt")
    draw_folder(folder / "parts/nut")
    draw_folder(folder / "scans/head", masks=False)
    return folder


def run(folder, root, methods, targets, **options):
    matrix = Matrix(methods, [Transfer("synthetic", targets, SOURCE, **options)], backbone="tiny", data=DATA)
    matrix.check()
    runner = ModelRunner(root, save_maps=True, pictures=2)
    cells = runner.prepare(matrix.cells(root))
    return Schedule(cells, Store(folder), runner, LocalExecutor(), Silent(), RUN).run()


@pytest.fixture(scope="module")
def cops(tmp_path_factory, root):
    """Run CoPS and CoPS without SAGA on all folders."""
    folder = tmp_path_factory.mktemp("cops") / "results"
    rows = [
        MethodConfig("CoPS", "CoPS", QUICK),
        MethodConfig("CoPS w/o SAGA", "CoPS", QUICK, {"spatial": False}, role="ablation"),
    ]
    assert run(folder, root, rows, [str(root / "parts"), str(root / "scans")]).failures == []
    return folder


def results(folder):
    return {(result.method, result.target): result for _, result in Store(folder).results()}


def test_figures_are_there_as_far_as_labels_allow(cops):
    found = results(cops)
    parts, scans = found["CoPS", "parts"], found["CoPS", "scans"]
    assert set(parts.categories) == {"bolt", "nut"} and set(scans.categories) == {"head"}
    assert {"I-AUROC", "P-AP", "AUPRO"} <= set(parts.categories["bolt"].scores)
    assert set(scans.categories["head"].scores) - {*AT_THRESHOLD} == {"I-AUROC", "I-AP", "I-F1max"}
    bolt = parts.categories["bolt"]
    assert (bolt.normal, bolt.anomalous) == (3, 3) and bolt.seconds > 0 and bolt.peak_memory > 1e6
    assert parts.training.categories == SOURCE and parts.training.images > 0


def test_figures_are_those_of_anomalibs_own_test(cops, root):
    weights = next((cops / "trained").glob("*/weights.safetensors"))
    model = CoPS(weights=str(weights), visualizer=False)
    data = ZeroShotTransfer(source_categories=SOURCE, target=str(root / "parts"), num_workers=0).only("parts/bolt")
    data.setup()
    data.test_data.samples = limit_samples(data.test_data.samples, 6)
    ours = results(cops)["CoPS", "parts"].categories["bolt"].scores
    dataset = data.test_data
    dataset.augmentations = model.pre_processor.transform.transforms[0]
    theirs = engine(cops.parent).test(
        model, dataloaders=DataLoader(dataset, 4, collate_fn=dataset.collate_fn), verbose=False
    )[0]
    for mine, name in (("I-AUROC", "image_AUROC"), ("I-AP", "image_AUPR"), ("P-AUROC", "pixel_AUROC")):
        assert ours[mine] == pytest.approx(theirs[name], abs=1e-5)
    assert ours["AUPRO"] == pytest.approx(theirs["pixel_AUPRO"], abs=1e-3)


def test_a_second_run_gives_the_same_bits(cops, root, tmp_path):
    rows = [MethodConfig("CoPS", "CoPS", QUICK)]
    run(tmp_path / "results", root, rows, [str(root / "parts")])
    again = results(tmp_path / "results")["CoPS", "parts"].categories
    before = results(cops)["CoPS", "parts"].categories
    assert {name: each.scores for name, each in again.items()} == {name: each.scores for name, each in before.items()}


def test_a_difference_in_the_test_alone_shares_the_training_and_shows(cops):
    assert len(list((cops / "trained").iterdir())) == 1
    found = results(cops)
    assert found["CoPS", "parts"].categories["nut"].scores != found["CoPS w/o SAGA", "parts"].categories["nut"].scores


def test_what_is_tested_of_the_synthetic_world_is_not_trained_on(tmp_path):
    rows = [MethodConfig("Learner", "tests.benchmark.foreign.Learner")]
    transfers = [
        Transfer("synthetic", ["synthetic"], target_categories=[CATEGORIES[0]]),
        Transfer("synthetic", ["synthetic"], source_categories=["wood", "washer"]),
    ]
    runner = ModelRunner()
    named, chosen = runner.prepare(Matrix(rows, transfers, data=DATA).cells())
    assert set(runner.survey(named)) == {CATEGORIES[0]}
    for cell in (named, chosen):
        record = runner.train(cell.training).record
        assert record.categories and not set(record.categories) & set(runner.survey(cell))
    # What else is tested is trained as ever: on every second category.
    (plain,) = runner.prepare(Matrix(rows, [Transfer("synthetic", ["synthetic"])], data=DATA).cells())
    assert list(runner.survey(plain)) == list(CATEGORIES[1::2])
    assert plain.training.fingerprint != named.training.fingerprint


def test_a_leak_is_refused_before_anything_runs(tmp_path, capsys):
    config = tmp_path / "leak.yaml"
    config.write_text(
        "methods: [{name: Learner, model: tests.benchmark.foreign.Learner}]\n"
        "transfers: [{source: synthetic, source_categories: [wood, leather], targets: [synthetic],"
        " target_categories: [leather]}]\n"
    )
    for more in ([], ["--dry-run"]):
        assert main(["run", str(config), "--output", str(tmp_path / "results"), *more]) == 2
        assert "leather of synthetic would be both trained on and tested on" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_kept_maps_give_the_figures_again(cops):
    result = results(cops)["CoPS", "parts"]
    predictions = read_maps(cops / "maps" / result.fingerprint / "bolt.npz")
    again = score(predictions)
    ranking = {name: value for name, value in result.categories["bolt"].scores.items() if name not in AT_THRESHOLD}
    assert again == pytest.approx(ranking, abs=2e-2)
    assert predictions.maps.shape == predictions.masks.shape
    unmasked = read_maps(cops / "maps" / results(cops)["CoPS", "scans"].fingerprint / "head.npz")
    assert unmasked.masks is None and unmasked.maps is not None


def test_pictures_are_small_and_of_anomalous_images(cops):
    result = results(cops)["CoPS", "parts"]
    path = cops / "pictures" / result.fingerprint / "bolt.json"
    cases = json.loads(path.read_text())
    assert len(cases) == 2 and path.stat().st_size < 60_000
    assert all({"photo", "truth", "map"} <= set(case) and 0 <= case["quality"] <= 1 for case in cases)


def test_models_by_class_path(root, tmp_path):
    rows = [
        MethodConfig("Dark", "tests.benchmark.foreign.Darkness", {"power": 2.0}),
        MethodConfig("Learner", "tests.benchmark.foreign.Learner"),
        MethodConfig("Broken", "tests.benchmark.foreign.Broken"),
    ]
    outcome = run(tmp_path / "results", root, rows, [str(root / "parts")])
    found = results(tmp_path / "results")
    dark = found["Dark", "parts"]
    assert set(dark.categories) == {"bolt", "nut"}  # each category met a new model
    assert dark.categories["bolt"].scores["I-AUROC"] == 1 and dark.categories["bolt"].scores["P-AUROC"] > 0.99
    assert dark.training.images == 0 and found["Learner", "parts"].training.images > 0
    assert len(list((tmp_path / "results/trained").rglob("model.ckpt"))) == 1
    assert {result.backbone for result in found.values()} == {"of Darkness", "of Learner", "of Broken"}
    assert len(outcome.failures) == 2 and all("NaN" in failure for failure in outcome.failures)
    assert len(boards(Store(tmp_path / "results").results())) == 3


def test_a_target_without_anomalies_is_a_hole_with_a_reason(root, tmp_path, capsys):
    draw_folder(tmp_path / "odd/fine", good=4, defects=4)
    draw_folder(tmp_path / "odd/spotless", good=4, defects=0)
    rows = [MethodConfig("Dark", "tests.benchmark.foreign.Darkness")]
    matrix = Matrix(rows, [Transfer("synthetic", [str(tmp_path / "odd")])], data=DATA)
    store = Store(tmp_path / "results", read_only=True)
    print_plan(matrix.cells(), store, ModelRunner(), console=Console(width=200))
    assert "missing, 1 unusable" in capsys.readouterr().out
    outcome = run(tmp_path / "results", root, rows, [str(tmp_path / "odd")])
    assert outcome.tested == 1 and len(outcome.failures) == 1
    assert "spotless" in outcome.failures[0] and "Traceback" not in outcome.failures[0]
    assert "failed" in table(tmp_path / "results", "markdown")


def test_the_command_runs_plans_and_resumes(root, tmp_path, capsys):
    config = tmp_path / "small.yaml"
    config.write_text(
        "methods: [{name: Dark, model: tests.benchmark.foreign.Darkness}]\n"
        "transfers:\n"
        "  - {source: synthetic, discover: true}\n"
        "  - {source: synthetic, targets: [synthetic], target_categories: [carpet]}\n"
        "data: {synthetic_samples: 8, synthetic_size: 64, num_workers: 0, device: cpu}\n"
    )
    arguments = ["run", str(config), "--root", str(root), "--output", str(tmp_path / "results")]
    assert main([*arguments, "--dry-run"]) == 0
    plan = capsys.readouterr().out
    assert "missing" in plan and "rough guess" in plan and not (tmp_path / "results").exists()
    assert main(arguments) == 0
    capsys.readouterr()
    assert main([*arguments, "--dry-run"]) == 0
    plan = capsys.readouterr().out
    assert "done" in plan and "0 of them missing" in plan.replace("\n", " ")
    assert main(arguments) == 0
    assert "0 categories tested" in capsys.readouterr().out
    assert main(["report", "--results", str(tmp_path / "results")]) == 0


@pytest.mark.parametrize(("limit", "expected"), [(None, (4, 4)), (4, (2, 2)), (5, (3, 2)), (20, (4, 4))])
def test_a_cap_keeps_both_labels(root, limit, expected):
    data = ZeroShotTransfer(target=str(root / "parts"))
    samples = limit_samples(data.target_datasets["parts/bolt"].samples, limit)
    counts = samples["label_index"].value_counts()
    assert (counts[0], counts[1]) == expected


def test_a_cap_takes_what_there_is_of_the_rarer_label(root):
    data = ZeroShotTransfer(target=str(root / "parts"))
    samples = data.target_datasets["parts/bolt"].samples
    good, bad = (samples[samples["label_index"] == label] for label in (0, 1))
    few = limit_samples(pd.concat([good[:1], bad]), 4)
    assert sorted(few["label_index"]) == [0, 1, 1, 1]


def test_a_digest_notices_exchanged_images(root, tmp_path):
    draw_folder(tmp_path / "parts/bolt")
    frame = ZeroShotTransfer(target=str(tmp_path / "parts")).target_datasets["parts/bolt"].samples
    same = ZeroShotTransfer(target=str(root / "parts")).target_datasets["parts/bolt"].samples
    assert samples_digest(frame) == samples_digest(same)
    Image.new("RGB", (48, 48)).save(tmp_path / "parts/bolt/good/0.png")
    assert samples_digest(frame) != samples_digest(same)
    assert samples_digest(same) != samples_digest(same.iloc[1:])


def test_workers_read_past_the_cache(root):
    frame = ZeroShotTransfer(target=str(root / "parts")).target_datasets["parts/bolt"].samples
    runner = ModelRunner(root)
    here, workers = (runner.images(frame, DataSettings(num_workers=count)) for count in (0, 2))
    here.augmentations = workers.augmentations = Resize((32, 32), antialias=True)
    first = here[0]
    assert here[0] is first and runner.images(frame, DataSettings(num_workers=0))[0] is not None
    loader = DataLoader(workers, 4, num_workers=2, collate_fn=workers.collate_fn)
    read = torch.cat([batch.image for batch in loader])
    assert torch.equal(read, torch.stack([here[index].image for index in range(len(frame))]))


def test_the_cache_keeps_what_fits():
    frame = ZeroShotTransfer(synthetic_samples=4, synthetic_size=32).target_datasets["synthetic/carpet"].samples
    item = LabelledImages(frame)[0]
    cache = ImageCache(limit=item.image.nbytes + item.gt_mask.nbytes)
    cache.keep(("a", ""), item)
    cache.keep(("b", ""), item)
    assert cache.get(("a", "")) is item and cache.get(("b", "")) is None
