"""Keep anomaly maps on disk, so that new metrics need no new inference."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from .outputs import CategoryOutput, Predictions


def pack_maps(output: CategoryOutput) -> bytes:
    """Pack scores, labels, maps (as float16) and masks (as bits) of one category into a compressed ``.npz`` file."""
    predictions = output.predictions
    arrays: dict[str, Any] = {
        "paths": np.array(output.paths),
        "scores": predictions.scores.astype(np.float32),
        "labels": predictions.labels.astype(np.uint8),
    }
    if predictions.maps is not None:
        arrays["maps"] = predictions.maps.astype(np.float16)
    if predictions.masks is not None:
        arrays["masks"] = np.packbits(predictions.masks, axis=-1)
        arrays["width"] = np.array(predictions.masks.shape[-1])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def read_maps(path: Path) -> Predictions:
    """Read the kept maps of one category for ``metrics.score``; their values were rounded to float16."""
    with np.load(path, allow_pickle=False) as arrays:
        maps = arrays["maps"].astype(np.float32) if "maps" in arrays else None
        masks = None
        if "masks" in arrays:
            masks = np.unpackbits(arrays["masks"], axis=-1, count=int(arrays["width"])).astype(bool)
        return Predictions(arrays["scores"], arrays["labels"].astype(np.int64), maps, masks)
