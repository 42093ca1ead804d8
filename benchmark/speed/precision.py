"""``python -m benchmark speed --precision``: what each runtime and precision costs, and what it changes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ..own_models import own_model_names
from ..provenance import provenance
from .precision_cost import Clock, measure_cost
from .precision_loss import Targets, measure_loss
from .precision_ways import WAYS

FULL: dict[str, Any] = {"backbone": "ViT-L-14-336", "repetitions": 3, "images": 24}
QUICK: dict[str, Any] = {"backbone": "tiny", "repetitions": 1, "images": 2, "methods": ["AnomalyCLIP"]}


def measure_precision(quick: bool, root: Path | None) -> Iterator[dict[str, Any]]:
    """Measure costs of all methods in all ways, then losses; yield what is known after the losses of each method.

    Costs take most of an hour in which nothing else may run; losses do not depend on that.

    Args:
        quick: check that it works on the tiny backbone; no measurement.
        root: folder with labelled data sets to test besides the synthetic one.
    """
    sizes = QUICK if quick else FULL
    clock = Clock(sizes["backbone"])
    targets = Targets(sizes["images"], root)
    rows: list[dict[str, Any]] = []
    # CoPS first, as the losses of all take half an hour.
    methods = sizes.get("methods") or sorted(own_model_names(), key=lambda name: (name != "CoPS", name))
    all_costs = {method: measure_cost(clock, method, sizes["repetitions"]) for method in methods}
    for method, costs in all_costs.items():
        losses = measure_loss(method, targets)
        rows += [
            {
                "method": method,
                "runtime": way.runtime,
                "precision": way.precision,
                **costs[str(way)],
                **losses[str(way)],
            }
            for way in WAYS
            if str(way) in costs
        ]
        yield {
            "quick": quick,
            "threads": torch.get_num_threads(),
            "provenance": provenance(),
            **sizes,
            "image_size": clock.size,
            "encode_image": clock.median,
            "loss": {"sets": targets.sets, "images": targets.count},
            "rows": rows,
        }
