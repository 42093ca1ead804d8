"""Draw cases for the gallery: image, mask and map of a few anomalous images per category, as small pictures."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame
from PIL import Image
from sklearn.metrics import average_precision_score

from anomalib_cops.data.synthetic.addresses import draw_address, is_address
from anomalib_cops.images.reading import read_image

from .outputs import CategoryOutput, Predictions

SIDE = 128
_WHITE_SHARE = 99.5


def pack_cases(output: CategoryOutput, samples: DataFrame, count: int) -> bytes:
    """Pack cases into a JSON list of names, scores, and WebP pictures in base64.

    Cases are anomalous images, evenly spread over their names. ``quality`` says how well the model did, in [0, 1]: the
    AP of the map's pixels where they are labelled, else the share of normal images with a lower score.

    Args:
        output: Output of a model for a category.
        samples: The test images.
        count: Largest number of cases.
    """
    anomalous = np.flatnonzero(output.predictions.labels == 1)
    chosen = np.linspace(0, len(anomalous) - 1, min(count, len(anomalous))).round().astype(int)
    kinds = dict(zip(samples["image_path"], samples["label"], strict=True))
    low, high = _black_and_white(output.predictions)
    cases = [
        {
            "image": Path(output.paths[index]).name,
            "kind": kinds[output.paths[index]],
            "score": round(float(output.predictions.scores[index]), 4),
            "quality": round(_quality(output.predictions, index), 4),
            **_pictures(output, index, low, high),
        }
        for index in anomalous[chosen]
    ]
    return (json.dumps(cases, indent=1) + "\n").encode()


def _black_and_white(predictions: Predictions) -> tuple[float, float]:
    """Return the values that are drawn black and white in all maps of a category."""
    if predictions.maps is None:
        return 0.0, 1.0
    low, high = np.percentile(predictions.maps, (0, _WHITE_SHARE))
    return float(low), float(high) if high > low else float(low) + 1


def _quality(predictions: Predictions, index: int) -> float:
    mask = None if predictions.masks is None else predictions.masks[index]
    if predictions.maps is not None and mask is not None and mask.any():
        return float(average_precision_score(mask.ravel(), predictions.maps[index].ravel()))
    normal = predictions.scores[predictions.labels == 0]
    return float((normal < predictions.scores[index]).mean()) if len(normal) else 0.0


def _pictures(output: CategoryOutput, index: int, low: float, high: float) -> dict[str, Any]:
    path, predictions = output.paths[index], output.predictions
    levels = draw_address(path)[0] if is_address(path) else read_image(path)
    pictures = {"photo": _webp(Image.fromarray(levels))}
    if predictions.masks is not None:
        pictures["truth"] = _webp(Image.fromarray(predictions.masks[index].astype(np.uint8) * 255))
    if predictions.maps is not None:
        shade = ((predictions.maps[index].astype(np.float64) - low) / (high - low)).clip(0, 1)
        pictures["map"] = _webp(Image.fromarray((shade * 255).round().astype(np.uint8)))
    return pictures


def _webp(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).convert("RGB").save(buffer, "webp", quality=70)
    return base64.b64encode(buffer.getvalue()).decode()
