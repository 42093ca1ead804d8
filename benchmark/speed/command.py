"""Measure time, arithmetic and memory beside open_clip's plain ``encode_image``, in one run on random weights."""

import json
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from ..files import check_writable, write_text
from ..provenance import provenance
from ..quiet import quiet

DEFAULT_OUTPUT = Path("results/speed")
TOWERS = (
    *("ViT-L-14-336", "ViT-L-14-worldwide", "EVA01-g-14", "EVA02-L-14-336", "ViT-L-14-CLIPA-336", "MobileCLIP2-L-14"),
    *("ViT-B-16-SigLIP-512", "ViT-SO400M-16-SigLIP2-512", "ViT-gopt-16-SigLIP2-384"),
    *("PE-Core-T-16-384", "PE-Core-S-16-384", "PE-Core-L-14-336", "vit_base_patch16_dinov3"),
)
"""Image towers of every family, among them those to which the local path adds most."""
# "small" is the backbone for growth and training, where the size does not matter.
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
    "towers": TOWERS,
    "maps": 48,
    "throughput_images": 2000,
    "starts": 5,
}
CARD: dict[str, Any] = {"backbone": "ViT-L-14-336", "batches": (1, 32), "repetitions": 5, "side": 8192}
QUICK_CARD: dict[str, Any] = {"backbone": "tiny", "batches": (1, 2), "repetitions": 1, "side": 64}
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
    "towers": ("ViT-S-32", "PE-Core-T-16-384"),
    "maps": 4,
    "throughput_images": 40,
    "starts": 1,
}


def arguments() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, about two minutes: a check, not a figure")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="folder of speed.json and speed.png")
    parser.add_argument("--device", type=str, default="auto", help="cpu, cuda, or auto")
    parser.add_argument(
        "--precision",
        action="store_true",
        help="measure what runtimes and precisions cost and change instead; with --device cuda, the speed on the card",
    )
    parser.add_argument("--root", type=Path, default=None, help="labelled data sets that --precision tests as well")
    return parser


def main(options: Namespace) -> int:
    """Measure, write the results, and print tables; see ``cli.main`` for the exit code."""
    check_writable(options.output)
    if options.precision:
        return _compare_precisions(options)
    result = _measure(QUICK if options.quick else FULL, options)
    write_text(options.output / "speed.json", json.dumps(result, indent=1))
    from .picture import draw
    from .tables import tables

    draw(result, options.output / "speed.png")
    print(tables(result))
    print(f"\nresults are in {options.output / 'speed.json'}, a picture is in {options.output / 'speed.png'}")
    return 0


def _measure_card(options: Namespace, device: str) -> int:
    with quiet():
        from .card_table import card_table
        from .cards import measure_card
    with quiet():
        result = {"quick": options.quick, "provenance": provenance()}
        result["card"] = measure_card(device=device, **(QUICK_CARD if options.quick else CARD))
    path = options.output / "card.json"
    write_text(path, json.dumps(result, indent=1))
    print(card_table(result))
    print(f"\nresults are in {path}")
    return 0


def _compare_precisions(options: Namespace) -> int:
    if options.device not in ("auto", "cpu"):
        return _measure_card(options, options.device)
    with quiet():
        from .precision import measure_precision
        from .precision_table import precision_tables
    path, result = options.output / "precision.json", {}
    with quiet():
        for result in measure_precision(options.quick, options.root):
            write_text(path, json.dumps(result, indent=1))
    print(precision_tables(result))
    print(f"\nresults are in {path}")
    return 0


def _measure(sizes: dict[str, Any], options: Namespace) -> dict[str, Any]:
    # Import torch and anomalib, which takes seconds, only after typing errors have been reported.
    with quiet():
        import torch

        from .drift import measure_drift
        from .growth import measure_growth
        from .inference import measure_inference
        from .memory import measure_memory
        from .metrics import measure_metrics
        from .start import measure_start
        from .throughput import measure_throughput
        from .towers import measure_towers
        from .training import measure_training

    device = options.device
    # Silence them once more, as the imports made new loggers.
    with quiet():
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return {
            "quick": options.quick,
            "device": device,
            "threads": torch.get_num_threads(),
            "repetitions": sizes["repetitions"],
            "provenance": provenance(),
            "start": measure_start(sizes["small"], sizes["starts"]),
            "metrics": measure_metrics(sizes["maps"]),
            "training": measure_training(
                sizes["small"], sizes["training_size"], sizes["training_images"], sizes["epochs"], sizes["plain_epochs"]
            ),
            "drift": measure_drift(sizes["drift_images"]),
            "memory": measure_memory(sizes["backbone"], sizes["precisions"]),
            "growth": measure_growth(sizes["small"], sizes["growth_repetitions"]),
            "inference": measure_inference(sizes["backbone"], device, sizes["repetitions"]),
            "towers": measure_towers(sizes["towers"]),
            "throughput": measure_throughput(sizes["throughput_images"], device),
        }
