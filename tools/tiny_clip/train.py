"""Train the tiny CLIP: ``python -m tools.tiny_clip.train --out FOLDER``."""

import argparse
import copy
import json
import math
import os
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from anomalib_cops.data.synthetic import LOOK_CATEGORIES
from anomalib_cops.encoder.frozen_clip import FrozenCLIP
from anomalib_cops.encoder.load import build
from anomalib_cops.encoder.tiny import load_tiny_config, load_tiny_state
from tools.tiny_clip.captions import Captions
from tools.tiny_clip.card import write_card
from tools.tiny_clip.handwritten import Pictures, measure
from tools.tiny_clip.initial import settle_scale, wave_positions, whiten_patches
from tools.tiny_clip.look_task import LookTask
from tools.tiny_clip.muon import optimizers
from tools.tiny_clip.objective import Trainee, losses
from tools.tiny_clip.pool import Pool, augment, normalise
from tools.tiny_clip.recipe import RECIPES, SMOKE, Recipe
from tools.tiny_clip.record import checkpoint, hardware, log, restore, start_name
from tools.tiny_clip.weight_file import save_tiny_state

EVALUATION_SEED = 7
"""Added to the seed for the pictures that the training is evaluated with."""
EVALUATION_LEVELS = ("easy", "medium")
LOGGED = 200
"""Number of entries of the loss curve."""
_MEASURED = 64
"""Pictures by which the scale of features is set."""


def train(
    recipe: Recipe, *, out: Path, seed: int, start: Path | None = None, resume: bool = False, workers: int = 2
) -> dict[str, Any]:
    """Train, and write ``weights.safetensors``, ``card.md``, ``log.jsonl`` and ``checkpoint.pt`` into a folder.

    Args:
        recipe: what is trained.
        out: the folder, which is created if missing.
        seed: seed of the pictures, the initial weights and the order.
        start: weight file of an earlier training to start from, instead of random weights.
        resume: continue from the checkpoint in the folder, if there is one.
        workers: processes that draw pictures.

    Returns:
        Content of the card: steps, times, the loss curve and the figures of every evaluation.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    began = time.monotonic()
    config = load_tiny_config()
    size, patch = config["vision_cfg"]["image_size"], config["vision_cfg"]["patch_size"]
    drawn: dict[str, Any] = {"seed": seed, "size": size, "grid": size // patch, "workers": workers}
    pool = Pool.draw(recipe.pairs, levels=recipe.levels, **drawn)
    pictures = {
        level: Pictures.draw(recipe.evaluated, seed=seed + EVALUATION_SEED, size=size, level=level)
        for level in EVALUATION_LEVELS
    }
    if recipe.look_pairs:
        evaluation_seed = seed + EVALUATION_SEED
        pictures["looks"] = Pictures.draw(recipe.evaluated, seed=evaluation_seed, size=size, categories=LOOK_CATEGORIES)

    trainee = Trainee(config)
    if start is None:
        whiten_patches(trainee.clip.visual.conv1, normalise(pool.images[:500, 0]))
        wave_positions(trainee.clip.visual.positional_embedding)
    else:
        trainee.start_from(load_tiny_state(start)[1])
    average = copy.deepcopy(trainee).requires_grad_(False)
    if recipe.compiled:
        trainee.encode_image = torch.compile(trainee.encode_image, dynamic=False)  # type: ignore[method-assign]
    both = optimizers(trainee, hidden_rate=recipe.hidden_rate, rate=recipe.rate, decay=recipe.decay)
    rates = [group["lr"] for optimizer in both for group in optimizer.param_groups]
    done: dict[str, Any] = {"steps": 0, "seconds": 0.0, "wall_seconds": 0.0}
    done |= {"resumed": [], "curve": [], "evaluations": [], "start": start_name(start)}
    if resume and (out / "checkpoint.pt").exists():
        done = restore(out / "checkpoint.pt", trainee, average, both)
        done["resumed"].append(done["steps"])
    # Restoring replaces the optimisers' groups by others, with the rates of the step at which they were saved.
    groups = [group for optimizer in both for group in optimizer.param_groups]
    earlier = done["wall_seconds"]

    batches = pool.batches(recipe.batch_pairs, recipe.batch_categories, seed + done["steps"])
    looks = LookTask(recipe, config["embed_dim"], seed + done["steps"] + 1, drawn) if recipe.look_pairs else None
    generator = torch.Generator().manual_seed(seed + done["steps"])
    wording = random.Random(seed + done["steps"])
    logged, evaluated = max(1, recipe.steps // LOGGED), -(-recipe.steps // recipe.evaluations)
    recent: list[dict[str, float]] = []
    pictured = recipe.batch_pairs // 3
    while done["steps"] < recipe.steps:
        began_step = time.monotonic()
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate * _schedule((done["steps"] + 1) / recipe.steps, recipe.warmup)
        # On a CPU the fused attention kernel's backward pass takes three times as long as plain products.
        with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", torch.bfloat16, enabled=recipe.low_precision):
            rows, chosen = next(batches)
            images, coverage = augment(pool.images[rows], pool.coverage[rows], generator)
            positions = (pool.categories[rows][:, None] == torch.tensor(chosen)).int().argmax(1)
            told = Captions.random(wording, chosen, pictured)
            terms = losses(trainee, images, coverage, positions, pool.defects[rows], told)
            terms |= looks.losses(trainee, generator, wording) if looks else {}
        values = _step(trainee, both, terms, recipe.weight_of_term)
        _follow(average, trainee, min(recipe.averaging, (1 + done["steps"]) / (10 + done["steps"])))
        done["seconds"] += time.monotonic() - began_step
        done["steps"] += 1
        recent.append(values)
        if done["steps"] % logged == 0:
            entry = {name: sum(t[name] for t in recent) / len(recent) for name in values}
            done["curve"].append({"step": done["steps"], "seconds": round(done["seconds"]), **entry})
            recent = []
            log(out, done["curve"][-1])
        if done["steps"] % evaluated == 0 or done["steps"] == recipe.steps:
            _evaluate(average, pictures, config, out, done, _metadata(recipe, seed, done))
            done["wall_seconds"] = round(earlier + time.monotonic() - began)
            checkpoint(out / "checkpoint.pt", trainee, average, both, done)
    write_card(out / "card.md", recipe=asdict(recipe), seed=seed, done=done, config=config, hardware=hardware())
    return done


def _schedule(progress: float, warmup: float) -> float:
    if progress < warmup:
        return max(progress / warmup, 0.02)
    return 0.5 * (1 + math.cos(math.pi * min((progress - warmup) / (1 - warmup), 1.0)))


def _step(
    trainee: Trainee, both: Sequence[torch.optim.Optimizer], terms: dict[str, Tensor], weights: dict[str, float]
) -> dict[str, float]:
    total = torch.stack([weights[name] * value.float() for name, value in terms.items()]).sum()
    trainee.zero_grad(set_to_none=True)
    total.backward()
    torch.nn.utils.clip_grad_norm_([p for p in trainee.parameters() if p.requires_grad], 1.0)
    for optimizer in both:
        optimizer.step()
    return {"total": float(total.detach()), **{name: float(value.detach()) for name, value in terms.items()}}


@torch.no_grad()
def _follow(average: Trainee, trainee: Trainee, decay: float) -> None:
    pairs = [(a, b) for a, b in zip(average.parameters(), trainee.parameters(), strict=True) if b.requires_grad]
    torch._foreach_lerp_([a for a, _ in pairs], [b for _, b in pairs], 1 - decay)


def _evaluate(
    average: Trainee,
    pictures: dict[str, Pictures],
    config: dict[str, Any],
    out: Path,
    done: dict[str, Any],
    metadata: dict[str, str],
) -> None:
    """Write the average's weights, read them back and measure what a user would load."""
    path = out / "weights.safetensors"
    state = average.full_state()
    settle_scale(state, config, normalise(next(iter(pictures.values())).images[:_MEASURED]))
    save_tiny_state(path, state, average.ids, metadata)
    clip = FrozenCLIP(build(*load_tiny_state(path)), config["vision_cfg"]["image_size"], name="tiny")
    entry: dict[str, float] = {"step": done["steps"], "seconds": round(done["seconds"])}
    for level, shown in pictures.items():
        entry |= {f"{level}_{name}": round(value, 4) for name, value in measure(clip, shown).items()}
    done["evaluations"].append(entry)
    log(out, entry)


def _metadata(recipe: Recipe, seed: int, done: dict[str, Any]) -> dict[str, str]:
    return {
        "name": "anomalib-cops tiny CLIP",
        "label": "stand-in for development, trained on synthetic pictures only; not a detector for production",
        "recipe": json.dumps(asdict(recipe)),
        "seed": str(seed),
        "start": done["start"],
        "steps": str(done["steps"]),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.tiny_clip.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, card, log and checkpoint")
    parser.add_argument("--recipe", choices=RECIPES, default="damage", help="what is trained (default: damage)")
    parser.add_argument("--steps", type=int, help="steps of training (default: those of the recipe)")
    parser.add_argument("--seed", type=int, default=0, help="seed of pictures, initial weights and order")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that draw pictures")
    parser.add_argument(
        "--smoke", action="store_true", help="a few steps on a few pictures, to see that all parts work"
    )
    parser.add_argument("--start", type=Path, help="weight file of an earlier training to start from")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in the folder")
    given = parser.parse_args(arguments)
    recipe = SMOKE if given.smoke else RECIPES[given.recipe]
    recipe = recipe if given.steps is None else replace(recipe, steps=given.steps)
    workers = 1 if given.smoke else given.workers
    train(recipe, out=given.out, seed=given.seed, start=given.start, resume=given.resume, workers=workers)


if __name__ == "__main__":
    main()
