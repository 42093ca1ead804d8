"""Test that numbers which need full precision keep it, however the model's precision is changed."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from anomalib.data import ImageBatch
from torch import Tensor, nn

from anomalib_cops import alignment, losses
from anomalib_cops.host.evaluator import AUROC, paper_evaluator
from anomalib_cops.host.post_processing import TransferPostProcessor
from anomalib_cops.metrics import streaming
from anomalib_cops.precision import in_full_precision

CHANGES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "half": lambda module: module.half(),
    "bfloat16": lambda module: module.bfloat16(),
    "to": lambda module: module.to(torch.float16),
    "type": lambda module: module.type(torch.bfloat16),
    "to device and type": lambda module: module.to("cpu", torch.bfloat16),
    "double": lambda module: module.double(),
}


def half_probabilities() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    probability = torch.rand(2, 2, 8, 8, generator=generator).softmax(dim=1)
    return probability.bfloat16(), (torch.rand(2, 8, 8, generator=generator) > 0.5).bfloat16()


def batch(count: int = 2) -> ImageBatch:
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(count, 96, 96, dtype=torch.bool)
    masks[::2, 10:30, 20:50] = True
    return ImageBatch(
        image=torch.zeros(count, 3, 2, 2),
        pred_score=0.5 + 1e-4 * torch.rand(count, generator=generator),
        anomaly_map=torch.rand(count, 96, 96, generator=generator) + 0.0,
        gt_mask=masks,
        gt_label=masks.flatten(1).any(dim=1),
    )


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["AUROC", "AUPR", "F1Max", "AUPRO"])
def test_counts_are_exact_whatever_precision_the_model_gets(name: str, change: str) -> None:
    metric, untouched = (getattr(streaming, name)(fields=["anomaly_map", "gt_mask"]) for _ in range(2))
    holder = nn.Sequential(nn.Linear(1, 1), metric)
    CHANGES[change](holder)
    for _ in range(2):  # before pixels are counted, and after
        metric.update(batch())
        untouched.update(batch())
        CHANGES[change](holder)
    assert holder[0].weight.dtype != torch.float32
    assert metric.normal.dtype == metric.anomalous.dtype == torch.float64
    assert torch.equal(metric.normal, untouched.normal) and torch.equal(metric.anomalous, untouched.anomalous)
    assert torch.equal(metric.compute(), untouched.compute())


@pytest.mark.parametrize("change", CHANGES)
def test_scores_and_thresholds_keep_their_differences(change: str) -> None:
    evaluator, plain, processor = paper_evaluator(), paper_evaluator(), TransferPostProcessor()
    processor._image_threshold.fill_(0.50012)
    for metric in evaluator.test_metrics:
        metric.update(batch(20))
    CHANGES[change](nn.ModuleList([evaluator, processor]))
    for one, other in zip(evaluator.test_metrics, plain.test_metrics, strict=True):
        one.update(batch(20))
        other.update(batch(20))
        other.update(batch(20))
        assert torch.equal(one.compute(), other.compute()), one.name
    assert float(processor.image_threshold) == pytest.approx(0.50012, abs=1e-7)


def test_metrics_still_move_to_another_device() -> None:
    metric = streaming.AUROC(fields=["anomaly_map", "gt_mask"]).to("meta")
    assert metric.normal.device.type == metric.device.type == "meta"
    image = AUROC(fields=["pred_score", "gt_label"]).to("meta", torch.bfloat16)
    assert image.labels.device.type == "meta"
    assert image.dtype == torch.float32  # the type in which processes without images send their scores


@pytest.mark.parametrize(
    "compute",
    [
        lambda p, t: losses.focal_loss(p, t),
        lambda p, t: losses.dice_loss(p[:, 1], t),
        lambda p, t: losses.binary_cross_entropy(p[:, 1], t),
        lambda p, t: losses.kl_to_standard_normal(p[:, 0, 0], 12 * t[:, 0].half()),  # exp(12) exceeds float16
        lambda p, t: alignment.cosine(p[0], p[1]),
        lambda p, t: alignment.probabilities(p[0], temperature=0.07),
        lambda p, t: alignment.gaussian_smooth(p[:, 0], 1.0),
    ],
    ids=["focal", "dice", "cross entropy", "KL", "cosine", "probabilities", "smoothing"],
)
def test_losses_and_scores_of_half_precision_are_computed_in_full(compute: Callable[..., Tensor]) -> None:
    probability, target = half_probabilities()
    expected = compute(probability.float(), target.float())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = compute(probability, target)
    for found in (mixed, compute(probability, target)):
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)
        assert torch.isfinite(found).all()


def test_autocast_is_left_with_gradients_and_entered_again() -> None:
    weight = torch.full((4, 4), 1 / 3, requires_grad=True)
    seen: list[torch.dtype] = []

    @in_full_precision
    def product(one: Tensor, other: Tensor) -> Tensor:
        found = one @ other
        seen.append(found.dtype)
        return found

    with torch.autocast("cpu", torch.bfloat16):
        found = product(weight, other=weight.half())
        outside = weight @ weight
    assert seen == [torch.float32] and outside.dtype == torch.bfloat16
    found.sum().backward()
    assert weight.grad is not None and torch.isfinite(weight.grad).all()


def test_float64_is_not_narrowed() -> None:
    one = torch.tensor([[1 / 3, 2 / 3]], dtype=torch.float64)
    assert alignment.probabilities(one).dtype == torch.float64
    assert math.isclose(float(losses.focal_loss(one, torch.ones(1, dtype=torch.float64))), 0.0450517, rel_tol=1e-4)


def test_a_copied_metric_goes_on_counting() -> None:
    metric = streaming.AUPR(fields=["anomaly_map", "gt_mask"])
    metric.update(batch())
    other = copy.deepcopy(metric)
    for each in (metric, other):
        each.update(batch(4))
    assert torch.equal(other.compute(), metric.compute())
