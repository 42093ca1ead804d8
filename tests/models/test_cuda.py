"""Test on a GPU: every precision trains and tests, and in full precision the scores equal the CPU's.

Skipped without a GPU; takes a few minutes with one: ``pytest tests/models/test_cuda.py``.
"""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from anomalib.metrics import Evaluator
from lightning.pytorch import seed_everything
from torch import Tensor

from anomalib_cops.errors import InputError
from anomalib_cops.losses import binary_cross_entropy
from anomalib_cops.metrics import streaming
from anomalib_cops.registry import MODELS
from tests.models.cases import lightning_class
from tests.models.runs import Trained, engine, transfer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

PRECISIONS = ["32-true", "bf16-mixed", "16-mixed", "bf16-true"]
NAMES = {"image_AUROC", "image_AUPR", "image_F1Max", "pixel_AUROC", "pixel_AUPR", "pixel_AUPRO"}
GPU: dict[str, Any] = {"accelerator": "gpu", "devices": 1}


def train(name: str, folder: Path, precision: str, **options: Any) -> tuple[Any, dict[str, float]]:
    """Train a model for two epochs; return it and its losses, all finite."""
    seed_everything(3)
    model = lightning_class(name)(backbone="tiny", visualizer=False, seed=3, **options)
    run = engine(folder, precision=precision, max_epochs=2, **GPU)
    run.fit(model, datamodule=transfer(synthetic_samples=4))
    losses = {name: float(value) for name, value in run.trainer.callback_metrics.items()}
    assert all(torch.isfinite(value).all() for value in model.trained_state().values())
    assert losses["train_loss"] < float("inf")
    return model, losses


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", sorted(MODELS))
def test_trains_tests_and_writes_weights(name: str, precision: str, tmp_path: Path) -> None:
    model, _ = train(name, tmp_path, precision)
    data = transfer(target_categories=["carpet", "screw"], synthetic_samples=4)
    figures = engine(tmp_path, precision=precision, **GPU).test(model, datamodule=data, verbose=False)[0]
    assert set(figures) == NAMES | {f"mean_{name}" for name in NAMES}
    assert all(0 <= value <= 1 for value in figures.values())
    path = model.save_weights(tmp_path / "w.safetensors")
    restored = lightning_class(name)(weights=str(path), visualizer=False)
    for key, value in model.trained_state().items():
        assert torch.equal(value.float().cpu(), restored.trained_state()[key])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["CoPS", "AnomalyCLIP", "VCPCLIP"])
def test_losses_with_a_feature_cache_are_those_without(name: str, precision: str, tmp_path: Path) -> None:
    _, plain = train(name, tmp_path / "plain", precision)
    options = {"feature_cache": str(tmp_path / "features")}
    _, cached = train(name, tmp_path / "cached", precision, **options)
    assert cached["train_loss"] == pytest.approx(plain["train_loss"], rel=0.02)
    _, again = train(name, tmp_path / "again", precision, **options)
    assert again["train_loss"] == pytest.approx(cached["train_loss"], rel=0.02)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_papers_objective_trains(precision: str, tmp_path: Path) -> None:
    _, losses = train("CoPS", tmp_path, precision, objective="paper")
    _, full = train("CoPS", tmp_path, "32-true", objective="paper")
    # Under float16, the first steps only adjust the gradients' scale and are skipped.
    near = 0.3 if precision == "16-mixed" else 0.1
    assert losses["train_loss"] == pytest.approx(full["train_loss"], rel=near)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_cross_entropy_of_probabilities_is_allowed_under_autocast(dtype: torch.dtype) -> None:
    probability, target = torch.rand(3, 5, device="cuda"), torch.ones(3, 5, device="cuda")
    expected = binary_cross_entropy(probability, target)
    with torch.autocast("cuda", dtype):
        assert torch.equal(binary_cross_entropy(probability, target), expected)


def test_scores_and_predictions_are_those_of_the_cpu(trained: Trained, image_folder: Path, tmp_path: Path) -> None:
    model = copy.deepcopy(trained.model)
    on_cpu = engine(tmp_path).predict(copy.deepcopy(model), data_path=image_folder)
    on_gpu = engine(tmp_path, **GPU).predict(model, data_path=image_folder)
    # AdaCLIP's logits are 100 times the cosine.
    within = 1e-3 if trained.name == "AdaCLIP" else 1e-4

    def together(batches: Any, field: str) -> Tensor:
        return torch.cat([getattr(batch, field).cpu() for batch in batches])

    for field in ("pred_score", "anomaly_map"):
        torch.testing.assert_close(together(on_gpu, field), together(on_cpu, field), atol=within, rtol=0)
    figures = engine(tmp_path, **GPU).test(model, datamodule=transfer(), verbose=False)[0]
    assert figures == pytest.approx({name: trained.figures[name] for name in figures}, abs=0.02)


@pytest.mark.parametrize("precision", ["16-true", "bf16-true", "16-mixed", "bf16-mixed"])
def test_half_precision_tests_and_predicts(
    trained: Trained, image_folder: Path, tmp_path: Path, precision: str
) -> None:
    model = copy.deepcopy(trained.model)
    figures = engine(tmp_path, precision=precision, **GPU).test(model, datamodule=transfer(), verbose=False)[0]
    away = 0.3 if trained.name == "AdaCLIP" else 0.1
    assert figures == pytest.approx({name: trained.figures[name] for name in figures}, abs=away)
    for batch in engine(tmp_path, precision=precision, **GPU).predict(model, data_path=image_folder):
        assert batch.pred_score.dtype == batch.anomaly_map.dtype == torch.float32
        assert torch.isfinite(batch.anomaly_map).all()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_training_in_float16_alone_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="precision=16-true"):
        train(name, tmp_path, "16-true")


@pytest.mark.parametrize("precision", ["32-true", "16-true"])
def test_counts_on_the_gpu_are_exact(trained_cops: Trained, tmp_path: Path, precision: str) -> None:
    model = copy.deepcopy(trained_cops.model)
    metrics = [metric(fields=["anomaly_map", "gt_mask"]) for metric in (streaming.AUROC, streaming.AUPRO)]
    counts: list[Tensor] = []

    class Look(Evaluator):
        def on_test_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            counts.append((self.test_metrics[0].normal + self.test_metrics[0].anomalous).cpu())
            super().on_test_epoch_end(trainer, pl_module)

    model.evaluator = Look(test_metrics=metrics)
    data = transfer()
    engine(tmp_path, precision=precision, **GPU).test(model, datamodule=data, verbose=False)
    side = model.clip.image_size
    assert counts[0].dtype == torch.float64
    assert int(counts[0].sum()) == len(data.test_data) * side**2
