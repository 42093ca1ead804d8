"""Mean of several trainings' weights: ``python -m tools.tiny_clip.average --out FOLDER FILE FILE ...``.

Trainings that begin with one another's weights stay close enough for that, and their mean carries further to pictures
unlike those that were drawn (model soups, arXiv 2203.05482).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from anomalib_cops.encoder.tiny import load_tiny_config, load_tiny_metadata, load_tiny_state, save_tiny_state
from anomalib_cops.errors import InputError, exit_code
from tools.tiny_clip.captions import vocabulary
from tools.tiny_clip.card import with_average, write_whole
from tools.tiny_clip.handwritten import Pictures
from tools.tiny_clip.initial import settle_scale
from tools.tiny_clip.pool import normalise

_PICTURES = 2
_SEED = 9


def average(paths: Sequence[Path], out: Path) -> None:
    """Writes the mean weights into ``out``; if there is a card of the last of these trainings, it tells.

    Args:
        paths: weight files of at least two trainings.
        out: a folder.

    Raises:
        InputError: there is nothing to average, or a file is not a weight file of the tiny CLIP.
    """
    if len(paths) < 2:
        raise InputError("An average needs at least two weight files.")
    config = load_tiny_config()
    size = config["vision_cfg"]["image_size"]
    images = normalise(Pictures.draw(_PICTURES, seed=_SEED, size=size).images)
    states = [load_tiny_state(path)[1] for path in paths]
    for state in states:
        # How long features are is open, and must not decide on what counts more.
        settle_scale(state, config, images)
    mean: dict[str, Tensor] = {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}
    settle_scale(mean, config, images)
    metadata = [load_tiny_metadata(path) for path in paths]
    told = [f"seed {each['seed']} ({each['steps']} steps)" for each in metadata]
    save_tiny_state(out / "weights.safetensors", mean, vocabulary(), {**metadata[-1], "averaged": "; ".join(told)})
    card = out / "card.md"
    if card.exists():
        write_whole(card, with_average(card.read_text(), told))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.tiny_clip.average", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", help="weight files of trainings, the last one last")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights; its card is amended")
    given = parser.parse_args(arguments)
    return exit_code(lambda: average(given.files, given.out))


if __name__ == "__main__":
    sys.exit(main())
