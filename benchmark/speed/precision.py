"""``python -m benchmark speed --precision``: what each runtime and precision costs, and what it changes."""

from pathlib import Path
from typing import Any

import torch

from ..own_models import own_model_names
from ..provenance import provenance
from .precision_cost import measure_cost
from .precision_loss import measure_loss
from .precision_ways import WAYS

FULL: dict[str, Any] = {"backbone": "ViT-L-14-336", "repetitions": 3, "images": 24}
QUICK: dict[str, Any] = {"backbone": "tiny", "repetitions": 1, "images": 2, "methods": ["AnomalyCLIP"]}


def measure_precision(quick: bool, root: Path | None) -> dict[str, Any]:
    """Measure costs and losses of all methods in all ways, and join them.

    Args:
        quick: check that it works on the tiny backbone; no measurement.
        root: folder with labelled data sets to test besides the synthetic one.
    """
    sizes = QUICK if quick else FULL
    methods = sizes.get("methods") or sorted(own_model_names())
    costs = measure_cost(sizes["backbone"], methods, sizes["repetitions"])
    losses = measure_loss(methods, sizes["images"], root)
    rows = [
        {
            "method": method,
            "runtime": way.runtime,
            "precision": way.precision,
            **costs["rows"][method][str(way)],
            **losses["rows"][method][str(way)],
        }
        for method in methods
        for way in WAYS
        if str(way) in costs["rows"][method]
    ]
    return {
        "quick": quick,
        "threads": torch.get_num_threads(),
        "provenance": provenance(),
        **sizes,
        "image_size": costs["image_size"],
        "encode_image": costs["encode_image"],
        "loss": {"sets": losses["sets"], "images": losses["images"]},
        "rows": rows,
    }
