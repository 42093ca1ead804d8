"""Compare metrics with independent computations: pairs of samples, all thresholds, regions by flood filling."""

import numpy as np
import pytest
import torch
from anomalib.metrics.aupro import _AUPRO
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmark.measure.metrics import aupro, f1_max, score
from benchmark.measure.outputs import Predictions

SIZE = (7, 11, 15)


def flooded(mask):
    """Return regions of pixels that touch, also at corners, as lists of positions."""
    left = {tuple(place) for place in np.argwhere(mask)}
    while left:
        region, border = [], [left.pop()]
        while border:
            row, column = border.pop()
            region.append((row, column))
            near = {(row + dy, column + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            border += near
        yield region


def brute_force_aupro(maps, masks, limit):
    """Compute the curve at every threshold, then the area up to the limit, piece by piece."""
    normal = maps[~masks]
    regions = [
        np.array([image[place] for place in region])
        for image, mask in zip(maps, masks, strict=True)
        for region in flooded(mask)
    ]
    curve = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel()), reverse=True):
        curve.append(
            (float(np.mean(normal >= threshold)), float(np.mean([np.mean(region >= threshold) for region in regions])))
        )
    area = 0.0
    for (x0, y0), (x1, y1) in zip(curve, curve[1:], strict=False):
        if x0 >= limit or x1 == x0:
            continue
        end = min(x1, limit)
        y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        area += (end - x0) * (y0 + y_end) / 2
    return area / limit


def example(seed, levels=None):
    rng = np.random.default_rng(seed)
    masks = rng.random(SIZE) < 0.04
    masks[0] = False
    masks[1, 3:8, 4:9] = True
    maps = rng.random(SIZE) + 0.4 * masks
    if levels:  # many equal values
        maps = np.round(maps * levels) / levels
    return maps.astype(np.float32), masks


@pytest.mark.parametrize("limit", [0.3, 0.05, 1.0])
@pytest.mark.parametrize("levels", [None, 5, 40])
@pytest.mark.parametrize("seed", range(3))
def test_aupro_is_the_area_at_every_threshold(seed, levels, limit):
    maps, masks = example(seed, levels)
    assert aupro(maps, masks, limit) == pytest.approx(brute_force_aupro(maps, masks, limit), abs=1e-6)


def test_aupro_agrees_with_anomalib_within_its_float32():
    maps, masks = example(0)
    theirs = _AUPRO(fpr_limit=0.3)
    theirs.update(torch.from_numpy(maps), torch.from_numpy(masks.astype(np.uint8)))
    assert aupro(maps, masks) == pytest.approx(float(theirs.compute()), abs=1e-4)


def test_image_and_pixel_figures_are_those_of_scikit_learn():
    maps, masks = example(1)
    labels = masks.any(axis=(1, 2)).astype(np.int64)
    scores = np.random.default_rng(2).random(len(maps)).astype(np.float32)
    figures = score(Predictions(scores, labels, maps, masks))
    assert figures["I-AUROC"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
    assert figures["I-AP"] == pytest.approx(average_precision_score(labels, scores), abs=1e-6)
    assert figures["P-AUROC"] == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-6)
    assert figures["P-AP"] == pytest.approx(average_precision_score(masks.ravel(), maps.ravel()), abs=1e-6)
    pairs = (maps[masks][:, None] > maps[~masks]).mean() + 0.5 * (maps[masks][:, None] == maps[~masks]).mean()
    assert figures["P-AUROC"] == pytest.approx(pairs, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_f1_max_is_the_best_of_all_thresholds(seed):
    rng = np.random.default_rng(seed)
    labels, scores = rng.integers(0, 2, 40), rng.integers(0, 12, 40) / 12
    labels[:2] = 0, 1
    best = 0.0
    for threshold in scores:
        hits = int((labels[scores >= threshold] == 1).sum())
        best = max(best, 2 * hits / (int((scores >= threshold).sum()) + int(labels.sum())))
    assert f1_max(labels, scores) == pytest.approx(best, abs=1e-12)


def test_order_alone_decides():
    maps, masks = example(3)
    labels = masks.any(axis=(1, 2)).astype(np.int64)
    scores = np.linspace(0.2, 0.9, len(labels))
    plain = score(Predictions(scores, labels, maps, masks))
    bent = score(Predictions(100 * scores**3 - 7, labels, np.exp(5 * maps.astype(np.float64)), masks))
    assert bent == pytest.approx(plain, abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "masked", "present"),
    [
        ([0, 1, 1], False, {"I-AUROC", "I-AP", "I-F1max"}),
        ([1, 1, 1], True, {"P-AUROC", "P-AP", "P-F1max", "AUPRO"}),
        ([1, 1, 1], False, set()),
        ([0, 0, 0], False, set()),
    ],
)
def test_what_labels_do_not_allow_is_absent(labels, masked, present):
    maps, masks = example(0)
    predictions = Predictions(np.arange(3.0), np.array(labels), maps[1:4], masks[1:4] if masked else None)
    assert set(score(predictions)) == present


def test_without_anomalous_or_normal_pixels_there_are_no_pixel_figures():
    maps, masks = example(0)
    for constant in (np.zeros_like(masks), np.ones_like(masks)):
        assert score(Predictions(np.arange(7.0), np.array([0, 1] * 3 + [0]), maps, constant)).keys() == {
            "I-AUROC",
            "I-AP",
            "I-F1max",
        }


def test_constant_maps_are_worth_nothing():
    _, masks = example(0)
    assert aupro(np.ones(SIZE, np.float32), masks) == pytest.approx(0.15)
