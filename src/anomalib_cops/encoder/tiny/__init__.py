"""The embedded stand-ins: a small CLIP trained on synthetic pictures, for development without a download.

There are two trainings of it. ``tiny`` knows damage; ``tiny-looks`` also names looks that are normal on one product and
a defect on another, so that prompts need to be conditional there. A weight file holds the vocabulary rows that its
training has seen. All other words share the mean of these rows.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from anomalib_cops.errors import InputError

STAND_INS = {"tiny": "weights.safetensors", "tiny-looks": "looks/weights.safetensors"}
"""Weight file of each stand-in, by its name among the backbones."""
TABLE = "token_embedding.weight"
"""Name of the token table among open_clip's weights; a weight file holds the next two tensors instead."""
ROW_IDS = "token_embedding.rows"
"""Name of the token ids whose rows a weight file holds."""
ROWS = "token_embedding.row_weights"
"""Name of these rows."""


def load_tiny_config() -> dict[str, Any]:
    """Return the model configuration in open_clip's format."""
    config: dict[str, Any] = json.loads(files(__name__).joinpath("config.json").read_text())
    return config


def tiny_weights(backbone: str = "tiny") -> Path:
    """Return the path of a packaged weight file, of one of ``STAND_INS``."""
    return Path(str(files(__name__).joinpath(STAND_INS[backbone])))


def load_tiny_state(path: Path | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the configuration and all weights in float32, keys as open_clip names them.

    Args:
        path: a weight file of the stand-ins' format; that of ``tiny`` if not given.

    Raises:
        InputError: the file is missing, truncated or of another format.
    """
    config = load_tiny_config()
    path = path or tiny_weights()
    try:
        with safe_open(path, framework="pt") as archive:
            state = {key: archive.get_tensor(key) for key in archive.keys()}  # noqa: SIM118 (not a dictionary)
        ids, rows = state.pop(ROW_IDS).long(), state.pop(ROWS).float()
    except (OSError, SafetensorError, KeyError):
        raise InputError(
            f"{path} is not a weight file of the tiny CLIP; install the package again, or train one with "
            "python -m tools.tiny_clip.train."
        ) from None
    table = rows.mean(0).repeat(config["text_cfg"]["vocab_size"], 1)
    table[ids] = rows
    return config, {TABLE: table, **{key: value.float() for key, value in state.items()}}
