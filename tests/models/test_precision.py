"""Test every precision of Lightning with every method: figures, losses and features, or the refusal."""

import copy
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from anomalib.metrics import Evaluator
from lightning.pytorch import seed_everything
from torch import Tensor

from anomalib_cops.errors import InputError
from anomalib_cops.metrics import streaming
from anomalib_cops.registry import MODELS
from tests.models.cases import lightning_class, make
from tests.models.runs import Trained, engine, transfer

DTYPES = {"bf16-true": torch.bfloat16, "16-true": torch.float16, "64-true": torch.float64}


@pytest.mark.parametrize("precision", [*DTYPES, "bf16-mixed"])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_scores_are_float32_at_least_and_near_those_in_full_precision(
    clip: open_clip.CLIP, images: Tensor, name: str, precision: str
) -> None:
    model = make(name, copy.deepcopy(clip))
    expected = model(images)
    if precision in DTYPES:
        found = model.to(DTYPES[precision])(images)
    else:
        with torch.autocast("cpu", torch.bfloat16):
            found = model(images)
    assert found.pred_score.dtype.itemsize >= 4 and found.anomaly_map.dtype.itemsize >= 4
    # Such large random prompts strain half precision more than trained ones.
    torch.testing.assert_close(found.pred_score.float(), expected.pred_score, atol=0.1, rtol=0)
    torch.testing.assert_close(found.anomaly_map.float(), expected.anomaly_map, atol=0.1, rtol=0)


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "bf16-mixed"])
def test_figures_are_those_of_full_precision(trained: Trained, tmp_path: Path, precision: str) -> None:
    model = copy.deepcopy(trained.model)
    figures = engine(tmp_path, precision=precision).test(model, datamodule=transfer(), verbose=False)[0]
    assert set(figures) == set(trained.figures)
    # One of 16 images may change its rank; AdaCLIP's clusters may change with a patch.
    away = 0.3 if trained.name == "AdaCLIP" else 0.1
    assert figures == pytest.approx(trained.figures, abs=away)


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_streaming_metrics_alone_are_exact_in_half_precision(
    trained_cops: Trained, tmp_path: Path, precision: str
) -> None:
    model = copy.deepcopy(trained_cops.model)
    model.evaluator = Evaluator(test_metrics=[streaming.AUROC(fields=["anomaly_map", "gt_mask"], prefix="pixel_")])
    (figures,) = engine(tmp_path, precision=precision).test(model, datamodule=transfer(), verbose=False)
    assert figures == pytest.approx({"pixel_AUROC": trained_cops.figures["pixel_AUROC"]}, abs=0.02)


def train(name: str, folder: Path, precision: str, **options: Any) -> dict[str, float]:
    seed_everything(3)
    model = lightning_class(name)(backbone="tiny", visualizer=False, seed=3, **options)
    run = engine(folder, precision=precision, max_epochs=2)
    run.fit(model, datamodule=transfer(synthetic_samples=4))
    assert all(torch.isfinite(value).all() for value in model.trained_state().values())
    assert float(model.post_processor.image_threshold) > 0
    return {name: float(value) for name, value in run.trainer.callback_metrics.items()}


@pytest.mark.parametrize(
    ("name", "precision", "within"),
    [
        ("CoPS", "bf16-mixed", 0.01),
        ("CoPS", "64-true", 1e-3),
        ("AnomalyCLIP", "bf16-true", 0.01),
        ("VCPCLIP", "bf16-mixed", 0.01),
        ("VCPCLIP", "bf16-true", 0.01),
    ],
)
def test_losses_with_a_feature_cache_are_those_without(
    tmp_path: Path, name: str, precision: str, within: float
) -> None:
    plain = train(name, tmp_path / "plain", precision)
    cached = train(name, tmp_path / "cached", precision, feature_cache=str(tmp_path / "features"))
    assert cached["train_loss"] == pytest.approx(plain["train_loss"], rel=within)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_the_papers_objective_trains_in_half_precision(tmp_path: Path, precision: str) -> None:
    losses = train("CoPS", tmp_path, precision, objective="paper")
    assert losses["train_loss"] == pytest.approx(
        train("CoPS", tmp_path, "32-true", objective="paper")["train_loss"], rel=0.05
    )


def test_adaclip_trains_in_half_precision(tmp_path: Path) -> None:
    train("AdaCLIP", tmp_path, "bf16-true", branch="V", fusion=False, depth=2)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_training_in_float16_alone_is_refused(name: str, tmp_path: Path) -> None:
    model = lightning_class(name)(backbone="tiny", visualizer=False)
    with pytest.raises(InputError, match="precision=16-true .* train with 16-mixed, bf16-mixed or bf16-true"):
        engine(tmp_path, precision="16-true").fit(model, datamodule=transfer())
