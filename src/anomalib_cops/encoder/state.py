"""Weight files of CLIP, read without running code from them."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from anomalib_cops.errors import InputError

SCRIPT_CONSTANTS = ("input_resolution", "context_length", "vocab_size")
"""Integers among the weights of OpenAI's TorchScript archives."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a weight file without running code from it.

    Args:
        path: OpenAI TorchScript archive, open_clip ``.bin``/``.pt``, or ``.safetensors``.

    Returns:
        All weights, keys as open_clip (and OpenAI) name them.

    Raises:
        InputError: the file is unreadable, truncated or not a dictionary of weights, or holds pickled code.
    """
    content: Any
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        elif is_torchscript(path):
            with warnings.catch_warnings():
                # torch deprecates TorchScript, but OpenAI's files are published in it.
                warnings.simplefilter("ignore")
                content = torch.jit.load(path, map_location="cpu").state_dict()
            for key in SCRIPT_CONSTANTS:
                content.pop(key, None)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        raise InputError(
            f"{path} is not a readable weight file (OpenAI .pt archive, open_clip .bin/.pt or .safetensors), or it "
            "holds pickled code, which is refused; get it again."
        ) from None
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} does not hold a dictionary of weights; give the CLIP weight file itself.")
    return {key.removeprefix("module."): value for key, value in state.items()}


def is_torchscript(path: Path) -> bool:
    """Return whether a file is a TorchScript archive, the format of OpenAI's weights."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/")[1:2] == ["code"] for name in archive.namelist())
