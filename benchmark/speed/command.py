"""``speed``: how fast it is beside open_clip's plain ``encode_image``, measured in one run on random weights."""

import json
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from ..files import check_writable, write_text
from ..provenance import provenance
from ..quiet import quiet

DEFAULT_OUTPUT = Path("results/speed")
FULL = {
    "backbone": "ViT-L-14-336",
    "small": "ViT-B-16",
    "precisions": ("32-true", "bf16-true"),
    "repetitions": 2,
    "growth_repetitions": 2,
    "training_size": 512,
    "training_images": 16,
    "epochs": 10,
    "plain_epochs": 1,
    "drift_images": 40,
    "maps": 48,
}
QUICK = {
    "backbone": "ViT-B-16",
    "small": "tiny",
    "precisions": ("32-true",),
    "repetitions": 1,
    "growth_repetitions": 1,
    "training_size": 120,
    "training_images": 8,
    "epochs": 3,
    "plain_epochs": 1,
    "drift_images": 8,
    "maps": 4,
}
"""``small`` is the backbone of growth and training, where the size does not matter."""


def arguments() -> ArgumentParser:
    """The command's arguments."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, under a minute: a check, not a figure")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="folder of speed.json and speed.png")
    parser.add_argument("--device", type=str, default="auto", help="cpu, cuda, or auto")
    return parser


def main(options: Namespace) -> int:
    """Measure, write, and print the tables; see ``cli.main`` for the exit code."""
    check_writable(options.output)
    sizes: dict[str, Any] = QUICK if options.quick else FULL
    # Only now, as importing torch and anomalib takes seconds.
    with quiet():
        import torch

        from .inference import growth, methods
        from .memory import memory
        from .metrics import metrics
        from .training import drift, epochs

    device = options.device
    # Once more, as the imports made new loggers.
    with quiet():
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        result = {
            "quick": options.quick,
            "device": device,
            "threads": torch.get_num_threads(),
            "repetitions": sizes["repetitions"],
            "provenance": provenance(),
            "metrics": metrics(sizes["maps"]),
            "training": epochs(
                sizes["small"], sizes["training_size"], sizes["training_images"], sizes["epochs"], sizes["plain_epochs"]
            ),
            "drift": drift(sizes["drift_images"]),
            "memory": memory(sizes["backbone"], sizes["precisions"]),
            "growth": growth(sizes["small"], sizes["growth_repetitions"]),
            "inference": methods(sizes["backbone"], device, sizes["repetitions"]),
        }
    write_text(options.output / "speed.json", json.dumps(result, indent=1))
    from .table import picture, tables

    picture(result, options.output / "speed.png")
    print(tables(result))
    print(f"\nresults are in {options.output / 'speed.json'}, a picture is in {options.output / 'speed.png'}")
    return 0
