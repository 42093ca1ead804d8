"""Write weight files of the tiny CLIP, and read what they record of their training."""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from anomalib_cops.encoder.tiny import ROW_IDS, ROWS, TABLE
from anomalib_cops.weights.format import write_tensors


def save_tiny_state(path: Path, state: dict[str, Tensor], ids: Tensor, metadata: dict[str, str]) -> None:
    """Write weights in half precision; the file appears complete or not at all.

    Args:
        path: the file.
        state: all weights, keys as open_clip names them.
        ids: token ids whose rows of the token table are kept.
        metadata: strings about the training, for the header.
    """
    packed = {key: value.half() for key, value in state.items() if key != TABLE}
    write_tensors(path, {**packed, ROWS: state[TABLE][ids].half(), ROW_IDS: ids.to(torch.int32)}, metadata)


def load_tiny_metadata(path: Path) -> dict[str, str]:
    """Return what a weight file's header says of its training."""
    with safe_open(path, framework="pt") as archive:
        metadata: dict[str, str] = archive.metadata()
    return metadata
