"""Test that exports, pickles and checkpoints contain no counts of metrics."""

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from anomalib.data import ImageBatch
from torchmetrics import Metric

from tests.models.runs import Trained, engine, transfer

OVERHEAD = 2e6


def parameter_bytes(model: Any) -> int:
    return sum(each.nbytes for each in (*model.parameters(), *model.buffers()))


def counted(model: Any) -> list[str]:
    """Return a model's metrics after they have counted something."""
    metrics = [module for module in model.modules() if isinstance(module, Metric)]
    assert len(metrics) >= 10, "those of the evaluator and the post-processor"
    return [type(metric).__name__ for metric in metrics if metric.update_called or any(map(holds, *states_of(metric)))]


def states_of(metric: Metric) -> tuple[list[Any], list[Any]]:
    """Return the states of a metric and their initial values."""
    return list(metric.metric_state.values()), [metric._defaults[name] for name in metric.metric_state]


def holds(state: Any, first: Any) -> bool:
    return bool(state) if isinstance(state, list) else not torch.equal(state, first)


@torch.inference_mode()
def count_something(model: Any) -> None:
    masks = torch.zeros(2, 32, 32, dtype=torch.bool)
    masks[0, :8] = True
    batch = ImageBatch(
        image=torch.zeros(2, 3, 32, 32),
        pred_score=torch.tensor([0.7, 0.2]),
        anomaly_map=torch.rand(2, 32, 32),
        gt_label=torch.tensor([1, 0]),
        gt_mask=masks,
    )
    processor = model.post_processor
    for metric in (
        *model.evaluator.test_metrics,
        processor._image_threshold_metric,
        processor._pixel_threshold_metric,
    ):
        metric.update(batch)


def test_a_torch_export_after_a_test_is_no_larger_than_the_model_and_works(trained: Trained, tmp_path: Path) -> None:
    model = copy.deepcopy(trained.model)
    engine(tmp_path).test(model, datamodule=transfer(), verbose=False)
    count_something(model)
    options = {"export_root": tmp_path, "export_type": "torch"}
    path = engine(tmp_path).export(model, **options)
    assert path.stat().st_size < parameter_bytes(model) + OVERHEAD
    loaded = torch.load(path, weights_only=False)["model"]
    assert counted(loaded) == []
    figures = engine(tmp_path).test(loaded, datamodule=transfer(), verbose=False)[0]
    assert figures == pytest.approx({name: trained.figures[name] for name in figures})


def test_pickles_and_copies_forget_and_the_model_does_not(trained_cops: Trained) -> None:
    model = copy.deepcopy(trained_cops.model)
    count_something(model)
    figures = [metric.compute() for metric in model.evaluator.test_metrics]
    assert len(counted(model)) >= 8
    data = io.BytesIO(pickle.dumps(model))
    assert data.getbuffer().nbytes < parameter_bytes(model) + OVERHEAD
    for other in (pickle.load(data), copy.deepcopy(model)):
        assert counted(other) == []
        count_something(other)
        assert len(counted(other)) >= 8
    assert [metric.compute() for metric in model.evaluator.test_metrics] == figures


def test_checkpoints_hold_no_counts(trained: Trained) -> None:
    path = Path(trained.engine.best_model_path)
    # The trained parameters and Adam's two moments.
    assert path.stat().st_size < 3 * sum(each.nbytes for each in trained.model.trained_state().values()) + OVERHEAD
    names = torch.load(path, weights_only=True)["state_dict"]
    assert not [name for name in names if "metric" in name]
