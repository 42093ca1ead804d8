"""The embedded stand-in: a small CLIP trained on synthetic pictures, for development without a download.

The weight file keeps the vocabulary rows that training has seen; all other words share their mean.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from anomalib_cops.errors import InputError
from anomalib_cops.weights.format import write_tensors

_TABLE = "token_embedding.weight"
_IDS = "token_embedding.rows"
_ROWS = "token_embedding.row_weights"


def load_tiny_config() -> dict[str, Any]:
    """The model configuration in open_clip's format."""
    config: dict[str, Any] = json.loads(files(__name__).joinpath("config.json").read_text())
    return config


def tiny_weights() -> Path:
    """The packaged weight file."""
    return Path(str(files(__name__).joinpath("weights.safetensors")))


def load_tiny_state(path: Path | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and all weights in float32, keys as open_clip names them.

    Args:
        path: another weight file of the same format; the packaged one if not given.

    Raises:
        InputError: the file is missing, truncated or of another format.
    """
    config = load_tiny_config()
    path = path or tiny_weights()
    try:
        with safe_open(path, framework="pt") as archive:
            state = {key: archive.get_tensor(key) for key in archive.keys()}  # noqa: SIM118 (not a dictionary)
        ids, rows = state.pop(_IDS).long(), state.pop(_ROWS).float()
    except (OSError, SafetensorError, KeyError):
        raise InputError(
            f"{path} is not a weight file of the tiny CLIP; install the package again, or train one with "
            "python -m tools.tiny_clip.train."
        ) from None
    table = rows.mean(0).repeat(config["text_cfg"]["vocab_size"], 1)
    table[ids] = rows
    return config, {_TABLE: table, **{key: value.float() for key, value in state.items()}}


def load_tiny_metadata(path: Path) -> dict[str, str]:
    """What a weight file says of its training."""
    with safe_open(path, framework="pt") as archive:
        metadata: dict[str, str] = archive.metadata()
    return metadata


def save_tiny_state(path: Path, state: dict[str, Tensor], ids: Tensor, metadata: dict[str, str]) -> None:
    """Write weights in half precision, the vocabulary rows of ``ids`` only; the file appears complete or not at all."""
    packed = {key: value.half() for key, value in state.items() if key != _TABLE}
    write_tensors(path, {**packed, _ROWS: state[_TABLE][ids].half(), _IDS: ids.to(torch.int32)}, metadata)
