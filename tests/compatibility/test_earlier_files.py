"""Files that version 0.1.0 wrote, and names that its users import, keep working.

The weight files hold a moment's training of small models on the embedded tiny CLIP; ``predictions.json`` says what that
version made of one image with them.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from anomalib_cops.registry import METHODS

FILES = Path(__file__).parent / "files"
PREDICTIONS: dict[str, dict[str, float]] = json.loads((FILES / "predictions.json").read_text())
# Another processor adds up in another order; AdaCLIP's logits are a hundred times the cosine.
NEAR = {"AdaCLIP": 1e-3}


def predicted(model: Any) -> dict[str, float]:
    side = model.clip.image_size
    image = torch.linspace(0, 1, 3 * side * side).reshape(1, 3, side, side)
    extra = {"class_names": ["tile"]} if type(model).__name__ == "AdaCLIP" else {}
    found = model.eval().model(image, **extra)
    return {
        "score": found.pred_score.item(),
        "map_mean": found.anomaly_map.mean().item(),
        "map_max": found.anomaly_map.max().item(),
    }


@pytest.mark.parametrize("name", METHODS)
def test_weight_files_bring_their_encoder_and_settings_and_give_the_same_scores(name: str) -> None:
    model = METHODS[name].lightning_class(weights=str(FILES / f"{name}.safetensors"), visualizer=False)
    assert model.clip.name == "tiny" and model.has_trained_weights
    assert predicted(model) == pytest.approx(PREDICTIONS[name], abs=NEAR.get(name, 1e-5))


@pytest.mark.parametrize("road", ["weights", "load_from_checkpoint"])
def test_checkpoints_load_on_both_roads(road: str) -> None:
    path, cls = str(FILES / "AnomalyCLIP.ckpt"), METHODS["AnomalyCLIP"].lightning_class
    model = cls(weights=path) if road == "weights" else cls.load_from_checkpoint(path)
    assert predicted(model) == pytest.approx(PREDICTIONS["AnomalyCLIP"], abs=1e-5)


def test_public_names_are_where_they_were() -> None:
    from anomalib_cops import VCPCLIP, AdaCLIP, AnomalyCLIP, CoPS, InputError, ZeroShotTransfer, __version__
    from anomalib_cops.data import LabelledImages, check_images, discover, read_image
    from anomalib_cops.metrics import sampled_aupro, streaming

    assert {CoPS.__name__, AnomalyCLIP.__name__, AdaCLIP.__name__, VCPCLIP.__name__} == set(METHODS)
    assert issubclass(InputError, ValueError) and __version__
    assert all((ZeroShotTransfer, LabelledImages, check_images, discover, read_image, sampled_aupro))
    assert hasattr(streaming, "PixelCounts")
