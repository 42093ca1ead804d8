"""Test streaming pixel metrics against scikit-learn on all pixels."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from anomalib.data import ImageBatch
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve
from torch import Tensor

from anomalib_cops.errors import InputError
from anomalib_cops.metrics.streaming import AUPR, AUPRO, AUROC, BINS, F1Max, StreamingMetric, bin_numbers

FIELDS = ["anomaly_map", "gt_mask"]
Pixels = tuple[np.ndarray, np.ndarray]


def smooth(count: int, side: int, seed: int = 0) -> Pixels:
    """Return maps like those of models: blurred patches, a little higher on anomalies; every third mask is empty."""
    rng = np.random.default_rng(seed)
    patches = np.kron(rng.random((count, side // 8, side // 8)), np.ones((1, 8, 8)))
    masks = np.zeros(patches.shape, bool)
    for index, mask in enumerate(masks):
        for _ in range(2 * (index % 3 > 0)):
            top, left = rng.integers(0, side - 12, 2)
            mask[top : top + rng.integers(2, 12), left : left + rng.integers(2, 12)] = True
    maps = ndimage.gaussian_filter(patches, (0, 3, 3)) + 0.15 * masks
    return (maps / maps.max()).astype(np.float32), masks


def squeezed(low: float, high: float) -> Pixels:
    maps, masks = smooth(6, 96)
    return (low + (high - low) * maps).astype(np.float32), masks


def saturated() -> Pixels:
    maps, masks = smooth(6, 96)
    return (1 / (1 + np.exp(-60 * (maps - 0.5)))).astype(np.float32), masks


CASES: dict[str, Callable[[], Pixels]] = {
    "smooth": lambda: smooth(9, 96),
    "ties": lambda: (smooth(9, 96)[0].round(2), smooth(9, 96)[1]),
    "two levels": lambda: ((smooth(9, 96)[0] > 0.6).astype(np.float32), smooth(9, 96)[1]),
    "constant": lambda: (np.full((6, 96, 96), 0.3, np.float32), smooth(6, 96)[1]),
    "tiny scores": lambda: squeezed(0, 1e-5),
    "narrow range": lambda: squeezed(0.48, 0.52),
    "almost one": lambda: squeezed(0.999, 1),
    "saturated": saturated,
    "no ranking": lambda: (np.random.default_rng(1).random((6, 96, 96), np.float32), smooth(6, 96)[1]),
}


def exact(maps: np.ndarray, masks: np.ndarray) -> dict[type[StreamingMetric], float]:
    """Compute the same metrics from all pixels at once."""
    labels, scores = masks.ravel(), maps.ravel()
    precision, recall, _ = precision_recall_curve(labels, scores)
    weights = np.ones(masks.shape)
    for mask, weight in zip(masks, weights, strict=True):
        regions, count = ndimage.label(mask, np.ones((3, 3)))
        for number in range(1, count + 1):
            weight[regions == number] /= (regions == number).sum()
    rate, overlap, _ = roc_curve(labels, scores, sample_weight=weights.ravel(), drop_intermediate=False)
    kept = rate < 0.3
    rates, overlaps = np.append(rate[kept], 0.3), np.append(overlap[kept], np.interp(0.3, rate, overlap))
    return {
        AUROC: roc_auc_score(labels, scores),
        AUPR: average_precision_score(labels, scores),
        F1Max: np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12)),
        AUPRO: np.trapezoid(overlaps, rates) / 0.3,
    }


def batch(maps: np.ndarray, masks: np.ndarray) -> ImageBatch:
    return ImageBatch(
        image=torch.zeros(len(maps), 3, 2, 2), anomaly_map=torch.from_numpy(maps), gt_mask=torch.from_numpy(masks)
    )


@pytest.mark.parametrize("metric", [AUROC, AUPR, F1Max, AUPRO])
@pytest.mark.parametrize("case", CASES)
def test_figures_are_those_of_all_pixels(case: str, metric: type[StreamingMetric]) -> None:
    maps, masks = CASES[case]()
    streaming = metric(fields=FIELDS)
    for start in range(0, len(maps), 4):
        streaming.update(batch(maps[start : start + 4], masks[start : start + 4]))
    assert float(streaming.compute()) == pytest.approx(exact(maps, masks)[metric], abs=1e-4)


@pytest.mark.parametrize("metric", [AUROC, AUPR, F1Max, AUPRO])
def test_maps_of_several_sizes_are_one_data_set(metric: type[StreamingMetric]) -> None:
    small, large = smooth(3, 48), smooth(3, 96, seed=5)
    streaming = metric(fields=FIELDS)
    streaming.update(batch(*small))
    streaming.update(batch(*large))
    alone = [metric(fields=FIELDS), metric(fields=FIELDS)]
    for each, pixels in zip(alone, (small, large), strict=True):
        each.update(batch(*pixels))
    assert torch.equal(streaming.normal, alone[0].normal + alone[1].normal)
    assert torch.equal(streaming.anomalous, alone[0].anomalous + alone[1].anomalous)


@pytest.mark.parametrize("metric", [AUROC, AUPR, F1Max, AUPRO])
@pytest.mark.parametrize("level", [0, 1])
def test_there_is_no_figure_without_anomalous_or_normal_pixels(metric: type[StreamingMetric], level: int) -> None:
    streaming = metric(fields=FIELDS)
    streaming.update(batch(smooth(2, 48)[0], np.full((2, 48, 48), bool(level))))
    assert streaming.compute() is None


def test_batches_without_masks_change_nothing() -> None:
    streaming = AUPRO(fields=FIELDS)
    streaming.update(ImageBatch(image=torch.zeros(1, 3, 2, 2), anomaly_map=torch.zeros(1, 48, 48)))
    assert streaming.compute() is None
    assert not streaming.normal.any()


def test_memory_does_not_grow_with_the_maps() -> None:
    streaming = AUPRO(fields=FIELDS)

    def size() -> int:
        return sum(state.nbytes for state in (streaming.normal, streaming.anomalous))

    assert size() == 2 * 8, "nothing is counted yet"
    for seed in range(3):
        streaming.update(batch(*smooth(3, 96, seed)))
        assert size() == 2 * 8 * BINS


@pytest.mark.parametrize("metric", [AUROC, AUPR, F1Max, AUPRO])
def test_packed_counts_go_on_and_need_little_memory(metric: type[StreamingMetric]) -> None:
    packed, plain = metric(fields=FIELDS), metric(fields=FIELDS)
    packed.pack()
    for seed in range(2):
        packed.update(batch(*smooth(3, 96, seed)))
        plain.update(batch(*smooth(3, 96, seed)))
        packed.pack()
        for counts in (packed.normal, packed.anomalous):
            assert counts.coalesce().values().nbytes < 8 * 3 * (seed + 1) * 96**2 + 1
    assert torch.equal(packed.compute(), plain.compute())
    assert torch.equal(packed.normal, plain.normal)


def test_merged_metrics_are_those_of_all_pixels() -> None:
    parts, whole = [AUPRO(fields=FIELDS) for _ in range(3)], AUPRO(fields=FIELDS)
    for part, seed in zip(parts, (0, 1), strict=False):  # the third one gets no images
        part.update(batch(*smooth(3, 96, seed)))
        whole.update(batch(*smooth(3, 96, seed)))
    parts[2].merge_state(parts[0])
    parts[2].merge_state(parts[1])
    assert torch.equal(parts[2].normal, whole.normal)


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan"), float("inf")])
def test_scores_that_are_no_probabilities_are_refused(bad: float) -> None:
    maps, masks = smooth(2, 48)
    maps[1, 3, 4] = bad
    with pytest.raises(InputError, match=r"anomaly maps in \[0, 1\]"):
        AUROC(fields=FIELDS).update(batch(maps, masks))


def test_bins_keep_the_order_of_scores() -> None:
    scores = torch.cat([torch.zeros(1), torch.logspace(-14, 0, 5000), 1 - torch.logspace(-7, -1, 5000), torch.ones(1)])
    ordered: Tensor = bin_numbers(scores.sort().values)
    assert (ordered.diff() >= 0).all()
    assert ordered[0] == 0 and ordered[-1] == BINS - 1
    assert len(ordered.unique()) > 8000
