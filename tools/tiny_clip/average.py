"""Average the weights of several trainings: ``python -m tools.tiny_clip.average --out FOLDER FILE FILE ...``.

This works for trainings that start from each other's weights, as they stay close enough. The average generalises better
to pictures that are unlike the drawn ones (model soups, arXiv 2203.05482).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from anomalib_cops.encoder.tiny import load_tiny_config, load_tiny_state
from anomalib_cops.errors import InputError, exit_code
from anomalib_cops.files import write_text
from tools.tiny_clip.card import with_average
from tools.tiny_clip.handwritten import Pictures
from tools.tiny_clip.initial import settle_scale
from tools.tiny_clip.pool import normalise
from tools.tiny_clip.vocabulary import vocabulary
from tools.tiny_clip.weight_file import load_tiny_metadata, save_tiny_state

_PICTURES = 2
_SEED = 9


def average(paths: Sequence[Path], out: Path) -> None:
    """Write the mean weights into a folder, and name the trainings in its card, if there is one.

    Args:
        paths: weight files of at least two trainings.
        out: the folder; its ``card.md`` is that of the last training.

    Raises:
        InputError: there are fewer than two files, or one is not a weight file of the tiny CLIP.
    """
    if len(paths) < 2:
        raise InputError("An average needs at least two weight files.")
    config = load_tiny_config()
    size = config["vision_cfg"]["image_size"]
    images = normalise(Pictures.draw(_PICTURES, seed=_SEED, size=size).images)
    states = [load_tiny_state(path)[1] for path in paths]
    for state in states:
        # Training leaves the length of features open; it must not weight one training more than another.
        settle_scale(state, config, images)
    mean: dict[str, Tensor] = {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}
    settle_scale(mean, config, images)
    metadata = [load_tiny_metadata(path) for path in paths]
    told = [f"seed {each['seed']} ({each['steps']} steps)" for each in metadata]
    save_tiny_state(out / "weights.safetensors", mean, vocabulary(), {**metadata[-1], "averaged": "; ".join(told)})
    card = out / "card.md"
    if card.exists():
        write_text(card, with_average(card.read_text(), told))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.tiny_clip.average", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", help="weight files in the order in which they were trained")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the mean weights; its card.md, if there is one, is amended"
    )
    given = parser.parse_args(arguments)
    return exit_code(lambda: average(given.files, given.out))


if __name__ == "__main__":
    sys.exit(main())
