"""The log and the checkpoint that a training writes while it runs."""

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from anomalib_cops.files import replacing
from tools.tiny_clip.objective import Trainee
from tools.tiny_clip.weight_file import load_tiny_metadata


def hardware() -> str:
    """Return a short description of the machine."""
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"


def start_name(start: Path | None) -> str:
    """Describe what a training starts from: random weights, or the training that wrote a weight file."""
    if start is None:
        return "random weights"
    metadata = load_tiny_metadata(start)
    recipe = json.loads(metadata["recipe"])
    told = f"{metadata['steps']} steps, {recipe['pairs']} pairs, rate {recipe['rate']}, seed {metadata['seed']}"
    before = metadata.get("start", "random weights")
    return f"weights of an earlier training ({told}), which began with {before}"


def log(out: Path, entry: dict[str, Any]) -> None:
    """Print an entry and append it to ``log.jsonl`` in a folder."""
    line = json.dumps({name: round(value, 4) for name, value in entry.items()})
    print(line, flush=True)
    with (out / "log.jsonl").open("a") as file:
        file.write(line + "\n")


def checkpoint(
    path: Path, trainee: Trainee, average: Trainee, optimizers: Sequence[torch.optim.Optimizer], done: dict[str, Any]
) -> None:
    """Write everything that is needed to resume the training; the file appears complete or not at all."""
    content = {
        "trainee": trainee.state_dict(),
        "average": average.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "done": done,
    }
    with replacing(path) as unfinished:
        torch.save(content, unfinished)


def restore(
    path: Path, trainee: Trainee, average: Trainee, optimizers: Sequence[torch.optim.Optimizer]
) -> dict[str, Any]:
    """Load what :func:`checkpoint` wrote, and return its ``done``."""
    content = torch.load(path, weights_only=True)
    trainee.load_state_dict(content["trainee"])
    average.load_state_dict(content["average"])
    for optimizer, state in zip(optimizers, content["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    done: dict[str, Any] = content["done"]
    return done
