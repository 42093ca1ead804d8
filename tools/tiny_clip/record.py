"""What a training leaves behind while it runs: a log and a checkpoint to go on from."""

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from anomalib_cops.encoder.tiny import load_tiny_metadata
from tools.tiny_clip.objective import Trainee


def hardware() -> str:
    """The machine, in a few words."""
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"


def start_name(start: Path | None) -> str:
    """What a training began with, in words: random weights, or the training behind a weight file."""
    if start is None:
        return "random weights"
    metadata = load_tiny_metadata(start)
    recipe = json.loads(metadata["recipe"])
    told = f"{metadata['steps']} steps, {recipe['pairs']} pairs, rate {recipe['rate']}, seed {metadata['seed']}"
    before = metadata.get("start", "random weights")
    return f"weights of an earlier training ({told}), which began with {before}"


def log(out: Path, entry: dict[str, Any]) -> None:
    """Adds a line to ``log.jsonl`` and prints it."""
    line = json.dumps({name: round(value, 4) for name, value in entry.items()})
    print(line, flush=True)
    with (out / "log.jsonl").open("a") as file:
        file.write(line + "\n")


def checkpoint(
    path: Path, trainee: Trainee, average: Trainee, optimizers: Sequence[torch.optim.Optimizer], done: dict[str, Any]
) -> None:
    """Writes everything needed to go on; the file appears complete or not at all."""
    content = {
        "trainee": trainee.state_dict(),
        "average": average.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "done": done,
    }
    partial = path.with_name(path.name + ".partial")
    torch.save(content, partial)
    os.replace(partial, path)


def restore(
    path: Path, trainee: Trainee, average: Trainee, optimizers: Sequence[torch.optim.Optimizer]
) -> dict[str, Any]:
    """Loads what ``checkpoint`` wrote; returns ``done``."""
    content = torch.load(path, weights_only=True)
    trainee.load_state_dict(content["trainee"])
    average.load_state_dict(content["average"])
    for optimizer, state in zip(optimizers, content["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    done: dict[str, Any] = content["done"]
    return done
