"""Cases for the gallery: image, truth and map of a few anomalous images per category, small."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame
from PIL import Image
from sklearn.metrics import average_precision_score

from anomalib_cops.data.images import read_image
from anomalib_cops.data.sets.synthetic_set import draw_address, is_drawn

from .inference import Seen
from .metrics import Predictions

SIDE = 128
_WHITE_SHARE = 99.5


def packed_cases(seen: Seen, samples: DataFrame, count: int) -> bytes:
    """A JSON list of cases: names, scores, and WebP pictures in base64.

    Cases are anomalous images, evenly spread over their names. ``quality`` says how well the model did, in [0, 1]: AP
    of the map's pixels where they are labelled, else the share of normal images with a lower score.

    Args:
        seen: What came out.
        samples: The test images.
        count: At most so many.
    """
    anomalous = np.flatnonzero(seen.predictions.labels == 1)
    places = np.linspace(0, len(anomalous) - 1, min(count, len(anomalous))).round().astype(int)
    kinds = dict(zip(samples["image_path"], samples["label"], strict=True))
    low, high = _range(seen.predictions)
    cases = [
        {
            "image": Path(seen.paths[index]).name,
            "kind": kinds[seen.paths[index]],
            "score": round(float(seen.predictions.scores[index]), 4),
            "quality": round(_quality(seen.predictions, index), 4),
            **_drawn(seen, index, low, high),
        }
        for index in anomalous[places]
    ]
    return (json.dumps(cases, indent=1) + "\n").encode()


def _range(predictions: Predictions) -> tuple[float, float]:
    """What is black and what is white in the maps of a category."""
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


def _drawn(seen: Seen, index: int, low: float, high: float) -> dict[str, Any]:
    path, predictions = seen.paths[index], seen.predictions
    levels = draw_address(path)[0] if is_drawn(path) else read_image(path)
    drawn = {"photo": _webp(Image.fromarray(levels))}
    if predictions.masks is not None:
        drawn["truth"] = _webp(Image.fromarray(predictions.masks[index].astype(np.uint8) * 255))
    if predictions.maps is not None:
        shade = ((predictions.maps[index].astype(np.float64) - low) / (high - low)).clip(0, 1)
        drawn["map"] = _webp(Image.fromarray((shade * 255).round().astype(np.uint8)))
    return drawn


def _webp(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).convert("RGB").save(buffer, "webp", quality=70)
    return base64.b64encode(buffer.getvalue()).decode()
