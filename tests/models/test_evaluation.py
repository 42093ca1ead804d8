"""Test that each category's figures equal those of a test of it alone, whatever the order of the images."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anomalib.data import ImageBatch
from anomalib.metrics import Evaluator

from anomalib_cops import ZeroShotTransfer
from anomalib_cops.errors import InputError
from anomalib_cops.host.evaluator import category_table, paper_evaluator
from anomalib_cops.metrics.by_category import CategoryTally, categories_by_path, mean_figures
from tests.models.runs import Trained, engine, transfer

SIZE = 48
PLACES = {f"{place}/{index}.png": place for place in ("a/x", "a/y", "b/x") for index in range(4)}


def pictures(paths: list[str]) -> ImageBatch:
    """Return scores and maps that depend only on the path; every second image is anomalous."""
    scores, maps, masks = [], [], []
    for path in paths:
        rng = np.random.default_rng(list(path.encode()))
        mask = np.zeros((SIZE, SIZE), bool)
        if int(path.split("/")[-1][0]) % 2:
            top, left = rng.integers(0, SIZE - 12, 2)
            mask[top : top + 10, left : left + 12] = True
        masks.append(mask)
        maps.append((0.7 * rng.random((SIZE, SIZE)) + 0.3 * mask * rng.random()).astype(np.float32))
        scores.append(0.5 * rng.random() + 0.3 * mask.any())
    return ImageBatch(
        image=torch.zeros(len(paths), 3, 2, 2),
        image_path=paths,
        pred_score=torch.tensor(scores, dtype=torch.float32),
        anomaly_map=torch.from_numpy(np.stack(maps)),
        gt_label=torch.tensor([mask.any() for mask in masks]),
        gt_mask=torch.from_numpy(np.stack(masks)),
    )


def alone(category: str) -> dict[str, float]:
    metrics = paper_evaluator().test_metrics
    for metric in metrics:
        metric.update(pictures([path for path, place in PLACES.items() if place == category]))
    return {metric.name: float(metric.compute()) for metric in metrics}


def tally(**options: Any) -> CategoryTally:
    return CategoryTally(paper_evaluator().test_metrics, PLACES, **{"early": True, **options})


@pytest.mark.parametrize(("order", "early"), [("one after another", True), ("shuffled", True), ("shuffled", False)])
def test_figures_are_those_of_the_category_alone(order: str, early: bool) -> None:
    paths = list(PLACES)
    if order == "shuffled":
        np.random.default_rng(0).shuffle(paths)
    found = tally(early=early)
    for start in range(0, len(paths), 3):  # batches of two categories
        found.update(pictures(paths[start : start + 3]))
    figures = found.compute()
    assert list(figures) == ["a/x", "a/y", "b/x"]
    assert figures == {category: alone(category) for category in figures}


def test_images_without_masks_and_categories_of_one_label_have_no_figure() -> None:
    found = tally()
    for path, place in PLACES.items():
        batch = pictures([path])
        if place == "a/y":
            batch = ImageBatch(**{**vars(pictures([path])), "gt_mask": None})
        if place == "b/x":
            batch.gt_label = torch.tensor([True])
        found.update(batch)
    figures = found.compute()
    assert figures["a/x"] == alone("a/x")
    missing = {category: {name for name, value in each.items() if value is None} for category, each in figures.items()}
    assert missing == {
        "a/x": set(),
        "a/y": {"pixel_AUROC", "pixel_AUPR", "pixel_AUPRO"},
        "b/x": {"image_AUROC", "image_AUPR", "image_F1Max"},
    }


def test_a_category_is_forgotten_with_its_last_image_and_packed_before() -> None:
    found = tally()
    paths = list(PLACES)
    found.update(pictures(paths[:3]))
    found.update(pictures(paths[4:5]))
    held = [metric.normal for metric in found._open["a/x"] if hasattr(metric, "normal")]
    assert len(held) == 3 and all(counts.is_sparse for counts in held)
    found.update(pictures(paths[3:4]))
    assert list(found._open) == ["a/y"]


def test_means_are_over_categories_then_over_data_sets() -> None:
    one = {"a/x": {"f": 0.2, "g": None}, "a/y": {"f": 0.6, "g": 0.5}}
    assert mean_figures(one) == {"mean_f": pytest.approx(0.4), "mean_g": 0.5}
    several = {**one, "b/x": {"f": 0.8, "g": None}}
    assert mean_figures(several) == {
        "mean_f": pytest.approx(0.6),
        "mean_f/a": pytest.approx(0.4),
        "mean_f/b": 0.8,
        "mean_g": 0.5,
        "mean_g/a": 0.5,
        "mean_g/b": None,
    }


def test_the_table_has_a_row_for_each_category_and_mean() -> None:
    text = category_table(
        {"a/x": {"image_AUROC": 0.25}, "a/long": {"image_AUROC": 0.505}, "b/x": {"image_AUROC": None}}
    )
    rows = [line.split("  ") for line in text.splitlines()[1:]]
    assert [(row[0].strip(), row[-1].strip()) for row in rows] == [
        ("percent", "image_AUROC"),
        ("a/x", "25.0"),
        ("a/long", "50.5"),
        ("b/x", "–"),
        ("mean of a", "37.8"),
        ("mean of b", "–"),
        ("mean of these", "37.8"),
    ]
    assert len({len(line) for line in text.splitlines()[1:]}) == 1
    assert category_table({"a/x": {"f": 1.0}, "a/y": {"f": 0.0}}).splitlines()[-1].split() == ["mean", "50.0"]


def loader(rows: dict[str, str]) -> Any:
    samples = pd.DataFrame({"image_path": list(rows), "set": "s", "category": list(rows.values())})
    return SimpleNamespace(dataset=SimpleNamespace(samples=samples))


def test_categories_come_from_the_tables_of_all_loaders() -> None:
    found = categories_by_path([loader({"1": "x", "2": "x"}), loader({"3": "y"})])
    assert found == {"1": "s/x", "2": "s/x", "3": "s/y"}
    assert categories_by_path(SimpleNamespace(dataset=[1, 2])) == {}
    assert (
        categories_by_path(SimpleNamespace(dataset=SimpleNamespace(samples=pd.DataFrame({"image_path": ["1"]})))) == {}
    )
    with pytest.raises(InputError, match="1 is an image of s/x and of s/y; test these one by one"):
        categories_by_path([loader({"1": "x"}), loader({"1": "y"})])


@pytest.fixture(scope="module")
def several() -> ZeroShotTransfer:
    return transfer(target_categories=["carpet", "screw", "gear"], synthetic_samples=6)


def test_a_test_of_several_categories_reports_each_and_their_mean(
    trained_cops: Trained, several: ZeroShotTransfer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = copy.deepcopy(trained_cops.model)
    pooled = engine(tmp_path).test(model, datamodule=several)[0]
    categories, printed = dict(model.evaluator.categories), capsys.readouterr().out
    names = ["image_AUROC", "image_AUPR", "image_F1Max", "pixel_AUROC", "pixel_AUPR", "pixel_AUPRO"]
    assert set(pooled) == {*names, *(f"mean_{name}" for name in names)}
    assert list(categories) == ["synthetic/carpet", "synthetic/gear", "synthetic/screw"]
    assert printed.rstrip().endswith(category_table(categories)), "not after anomalib's table"
    for category in categories:
        single = engine(tmp_path).test(model, datamodule=several.only(category))[0]
        assert single == categories[category]
        assert model.evaluator.categories == {} and "these are of each category" not in capsys.readouterr().out
    for name in names:
        assert pooled[f"mean_{name}"] == pytest.approx(np.mean([each[name] for each in categories.values()]))
    # anomalib's own evaluator pools all categories and reports nothing else.
    model.evaluator = Evaluator(test_metrics=list(model.evaluator.test_metrics))
    assert engine(tmp_path).test(model, datamodule=several)[0] == {name: pooled[name] for name in names}
    assert "these are of each category" not in capsys.readouterr().out


def test_a_quiet_test_prints_no_table(
    trained_cops: Trained, several: ZeroShotTransfer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = copy.deepcopy(trained_cops.model)
    engine(tmp_path).test(model, datamodule=several, verbose=False)
    assert len(model.evaluator.categories) == 3
    assert "percent" not in capsys.readouterr().out
