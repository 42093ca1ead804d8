"""What the tiny CLIP is worth: ``python -m tools.tiny_clip.evaluate`` writes it beside the weights.

Hand-written sentences at every level of difficulty; CoPS, a static baseline and CoPS without one part, trained on eight
synthetic categories and tested on eight others; and photographs. The encoder has seen all categories, as real CLIP has.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

from anomalib_cops.data.synthetic import LEVELS
from anomalib_cops.encoder.frozen_clip import FrozenCLIP
from anomalib_cops.encoder.load import build
from anomalib_cops.encoder.tiny import load_tiny_state
from anomalib_cops.errors import exit_code
from tools.tiny_clip.card import with_evaluation, write_whole
from tools.tiny_clip.handwritten import Pictures, measure
from tools.tiny_clip.learned import TESTED, TRAINED, VARIANTS, Seen, finder, learn, linear, transfer
from tools.tiny_clip.photographs import judge, photographs

# Pictures of the training have seed 0, those that it is watched with 7; these are others.
WRITTEN_SEED, TRAINED_SEED, TESTED_SEED, SUBSET_SEED = 21, 22, 23, 11
SUBSET = 6
"""Pictures per category and state of the small set that a test measures again."""
COMPARED = "medium"
"""The level at which learned prompts are compared: hand-written sentences are far from perfect there."""


def measure_subset(clip: FrozenCLIP) -> dict[str, float]:
    """Hand-written sentences on the small fixed set, at the level at which nobody overlooks a defect."""
    return measure(clip, Pictures.draw(SUBSET, seed=SUBSET_SEED, size=clip.image_size, level="easy"))


def compare(
    clip: FrozenCLIP, *, learned: int, pictures: int, epochs: int, seeds: int, folders: list[Path], elpv: bool
) -> dict[str, Any]:
    """Everything that is measured with learned prompts: the variants, and the first CoPS on photographs."""
    size = clip.image_size
    training, testing = (
        Seen.by(clip, Pictures.draw(count // 2, seed=seed, size=size, level=COMPARED, categories=categories))
        for count, seed, categories in ((learned, TRAINED_SEED, TRAINED), (pictures, TESTED_SEED, TESTED))
    )
    table: dict[str, Any] = {
        "hand-written": _rounded(measure(clip, testing.pictures)),
        "linear classifiers": _rounded(transfer(linear(training), testing)),
    }
    found: dict[str, Any] = {}
    for variant in VARIANTS:
        runs = []
        for seed in range(seeds):
            model = learn(clip, variant, training, epochs=epochs, seed=seed)
            runs.append(transfer(finder(model), testing))
            print(f"{variant}, seed {seed}: {_rounded(runs[-1])}", flush=True)
            if variant == "CoPS" and seed == 0:
                first = model
        table[variant] = {
            name: {
                "mean": round(mean(run[name] for run in runs), 4),
                "spread": round(pstdev(run[name] for run in runs), 4),
            }
            for name in runs[0]
        }
    for name, images in photographs(folders, elpv=elpv).items():
        judged = judge(clip, first, images, name.rpartition("/")[2])
        found[name] = {"images": len(images), **{way: _rounded(figures) for way, figures in judged.items()}}
        print(f"{name}: {found[name]}", flush=True)
    return {"level": COMPARED, "trained": TRAINED, "tested": TESTED, "synthetic": table, "photographs": found}


def evaluate(
    path: Path, *, learned: int, pictures: int, epochs: int, seeds: int, folders: list[Path], elpv: bool
) -> dict[str, Any]:
    """Measures the weights in ``path``; writes ``evaluation.json`` and the evaluation in ``card.md`` beside them."""
    config, state = load_tiny_state(path)
    clip = FrozenCLIP(build(config, state), config["vision_cfg"]["image_size"], name="tiny")
    result: dict[str, Any] = {
        "label": "stand-in for development, trained on synthetic pictures only",
        "weights": hashlib.sha256(path.read_bytes()).hexdigest(),
        "pictures": pictures,
        "learned": learned,
        "epochs": epochs,
        "seeds": seeds,
        "written": {},
        "subset": _rounded(measure_subset(clip)),
    }
    for level in LEVELS:
        shown = Pictures.draw(pictures // 2, seed=WRITTEN_SEED, size=clip.image_size, level=level)
        result["written"][level] = _rounded(measure(clip, shown))
        print(f"{level}: {result['written'][level]}", flush=True)
    result |= compare(clip, learned=learned, pictures=pictures, epochs=epochs, seeds=seeds, folders=folders, elpv=elpv)
    write_whole(path.with_name("evaluation.json"), json.dumps(result, indent=2) + "\n")
    card = path.with_name("card.md")
    if card.exists():
        write_whole(card, with_evaluation(card.read_text(), result))
    return result


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.tiny_clip.evaluate", description=__doc__)
    packaged = Path(str(files("anomalib_cops.encoder.tiny").joinpath("weights.safetensors")))
    parser.add_argument("--weights", type=Path, default=packaged, help="weight file; the packaged one if not given")
    parser.add_argument("--pictures", type=int, default=32, help="pictures per category of every set tested on")
    parser.add_argument("--learned", type=int, default=128, help="pictures per category that prompts are trained on")
    parser.add_argument("--epochs", type=int, default=4, help="of every training of prompts")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of every variant")
    parser.add_argument("--photographs", type=Path, nargs="*", default=[], help="good/defect/mask folders")
    parser.add_argument("--no-elpv", action="store_true", help="leave the solar cells out")
    given = parser.parse_args(arguments)
    return exit_code(
        lambda: evaluate(
            given.weights,
            learned=given.learned,
            pictures=given.pictures,
            epochs=given.epochs,
            seeds=given.seeds,
            folders=given.photographs,
            elpv=not given.no_elpv,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
