"""Measure the tiny CLIP and record the result beside its weights: ``python -m tools.tiny_clip.evaluate``.

Measured are hand-written sentences at every level of difficulty; CoPS, a static baseline and CoPS without one part,
trained on eight synthetic categories and tested on eight others, of damage and, if the weights know them, of looks; and
photographs. The encoder has seen all categories in its training, as real CLIP has.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

from anomalib_cops.data.synthetic import LEVELS
from anomalib_cops.encoder.frozen_clip import FrozenCLIP
from anomalib_cops.encoder.load import build
from anomalib_cops.encoder.tiny import load_tiny_state
from anomalib_cops.errors import exit_code
from anomalib_cops.files import sha256, write_json, write_text
from anomalib_cops.models.cops.torch_model import CoPSModel
from tools.tiny_clip.card import with_evaluation
from tools.tiny_clip.handwritten import Pictures, measure
from tools.tiny_clip.learned import LEARNING_RATES, SPLITS, VARIANTS, Seen, finder, learn, linear, odd_one_out, transfer
from tools.tiny_clip.photographs import judge, photographs
from tools.tiny_clip.weight_file import load_tiny_metadata

PACKAGED = Path(__file__).resolve().parents[2] / "src" / "anomalib_cops" / "encoder" / "tiny" / "weights.safetensors"
"""The packaged weight file in the checkout that this file belongs to."""
# Trainings draw their pictures with seeds 0 to 6, and those for their evaluation with seeds 7 to 13.
WRITTEN_SEED, TRAINED_SEED, TESTED_SEED, SUBSET_SEED = 21, 22, 23, 11
SUBSET = 6
"""Pictures per category and state of the small set, which a test measures again."""
LEVEL_OF = {"damage": "medium", "looks": "mixed"}
"""Level at which learned prompts are compared in each world; hand-written sentences leave room for them there."""


def measure_subset(clip: FrozenCLIP) -> dict[str, float]:
    """Measure hand-written sentences on the small fixed set, at the easiest level."""
    return measure(clip, Pictures.draw(SUBSET, seed=SUBSET_SEED, size=clip.image_size, level="easy"))


def compare(
    clip: FrozenCLIP,
    world: str,
    *,
    learned: int,
    pictures: int,
    epochs: int,
    seeds: int,
    variants: Sequence[str] = tuple(VARIANTS),
) -> tuple[dict[str, Any], CoPSModel]:
    """Measure variants of learned prompts on drawn pictures, beside what works without words or without learning.

    Args:
        clip: the encoder.
        world: which pictures, one of ``SPLITS``.
        learned: pictures per category that prompts are trained on.
        pictures: pictures per category that they are tested on.
        epochs: length of each training.
        seeds: trainings of each variant.
        variants: names of ``VARIANTS``, CoPS among them.

    Returns:
        The figures, and the CoPS of the first seed.
    """
    level = LEVEL_OF[world]
    sides = zip((learned, pictures), (TRAINED_SEED, TESTED_SEED), SPLITS[world], strict=True)
    training, testing = (
        Seen.by(clip, Pictures.draw(count // 2, seed=seed, size=clip.image_size, level=level, categories=categories))
        for count, seed, categories in sides
    )
    table: dict[str, Any] = {"hand-written": _rounded(measure(clip, testing.pictures))}
    if world == "looks":
        table["oracle"] = _rounded(transfer(odd_one_out, testing))
    table["linear classifiers"] = _rounded(transfer(linear(training), testing))
    for variant in variants:
        runs = []
        for seed in range(seeds):
            model = learn(clip, variant, training, epochs=epochs, seed=seed, rate=LEARNING_RATES[world])
            runs.append(transfer(finder(model), testing))
            print(f"{world}: {variant}, seed {seed}: {_rounded(runs[-1])}", flush=True)
            if variant == "CoPS" and seed == 0:
                first = model
        table[variant] = {
            name: {
                "mean": round(mean(run[name] for run in runs), 4),
                "spread": round(pstdev(run[name] for run in runs), 4),
            }
            for name in runs[0]
        }
    trained, tested = SPLITS[world]
    return {
        "level": level,
        "rate": LEARNING_RATES[world],
        "trained": trained,
        "tested": tested,
        "synthetic": table,
    }, first


def _on_photographs(clip: FrozenCLIP, model: CoPSModel, folders: list[Path], *, elpv: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, images in photographs(folders, elpv=elpv).items():
        judged = judge(clip, model, images, name.rpartition("/")[2])
        found[name] = {"images": len(images), **{way: _rounded(figures) for way, figures in judged.items()}}
        print(f"{name}: {found[name]}", flush=True)
    return found


def evaluate(
    path: Path, *, learned: int, pictures: int, epochs: int, seeds: int, folders: list[Path], elpv: bool
) -> dict[str, Any]:
    """Measure the weights in ``path``, write ``evaluation.json`` beside them and amend the ``card.md`` there.

    Args:
        path: weight file of a stand-in; the world of looks is measured if it was trained on that.
        learned: as for :func:`compare`, as are the next three.
        pictures: pictures per category.
        epochs: length of each training.
        seeds: trainings of each variant.
        folders: folders of photographs, see :func:`tools.tiny_clip.photographs.photographs`.
        elpv: measure the solar cells too.
    """
    config, state = load_tiny_state(path)
    clip = FrozenCLIP(build(config, state), config["vision_cfg"]["image_size"], name="tiny")
    result: dict[str, Any] = {
        "label": "stand-in for development, trained on synthetic pictures only",
        "weights": sha256(path),
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
    sizes = {"learned": learned, "pictures": pictures, "epochs": epochs, "seeds": seeds}
    knows_looks = json.loads(load_tiny_metadata(path)["recipe"]).get("look_pairs", 0) > 0
    if knows_looks:
        result["looks"], _ = compare(clip, "looks", **sizes)
    # A stand-in that has the world of looks for the parts of CoPS needs the other one for the whole of it only.
    variants = ("CoPS", "static prompts") if knows_looks else tuple(VARIANTS)
    found, first = compare(clip, "damage", **sizes, variants=variants)
    result |= found
    result["photographs"] = _on_photographs(clip, first, folders, elpv=elpv)
    write_json(path.with_name("evaluation.json"), result)
    card = path.with_name("card.md")
    if card.exists():
        write_text(card, with_evaluation(card.read_text(), result))
    return result


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.tiny_clip.evaluate", description=__doc__)
    parser.add_argument(
        "--weights",
        type=Path,
        default=PACKAGED,
        help="weight file; evaluation.json is written beside it, and card.md there is amended (default: the packaged "
        f"one of this checkout, {PACKAGED})",
    )
    parser.add_argument("--pictures", type=int, default=32, help="pictures per category of every set tested on")
    parser.add_argument("--learned", type=int, default=128, help="pictures per category that prompts are trained on")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of every training of prompts")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of every variant")
    parser.add_argument(
        "--photographs", type=Path, nargs="*", default=[], help="folders of data sets, each with good, defect and mask"
    )
    parser.add_argument("--no-elpv", action="store_true", help="do not measure the solar cells")
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
