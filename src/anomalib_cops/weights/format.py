"""Weight files and checkpoints: read and write the trained part of a model, with its header."""

import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from anomalib_cops.errors import InputError
from anomalib_cops.files import replacing
from anomalib_cops.tensors import check_finite
from anomalib_cops.weights.header import THRESHOLDS, WeightFile, read_header

CHECKPOINT_KEY = "anomalib_cops"
"""Entry of a Lightning checkpoint that holds the header."""
CHECKPOINT_SUFFIX = ".ckpt"
WEIGHT_SUFFIX = ".safetensors"
MODEL = "model."
"""Prefix of the torch model's tensors in a checkpoint."""


def write_weights(file: WeightFile) -> Path:
    """Write a weight file to ``file.source``; it appears complete or not at all.

    Returns:
        The path.

    Raises:
        InputError: the name does not end in ``.safetensors``, the tensors are not finite, or the place is not writable.
    """
    path = Path(file.source).expanduser()
    if path.suffix != WEIGHT_SUFFIX:
        raise InputError(
            f"Weights are saved as {WEIGHT_SUFFIX} files, not as {path}; give {path.with_suffix(WEIGHT_SUFFIX)}."
        )
    check_finite(
        file.tensors, f"The model that is to be saved as {path}", advice="nothing was written; train it again."
    )
    try:
        write_tensors(path, file.tensors, file.metadata())
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}); choose another place.") from None
    return path


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file that everybody may read; it appears complete or not at all."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as unfinished:
        save_file(plain, unfinished, metadata=metadata)
        unfinished.chmod(0o644)  # safetensors lets only the owner read


def read_weights(path: str | Path, method: str) -> WeightFile:
    """Read a weight file of a method, or the trained part of one of its checkpoints.

    Raises:
        InputError: the file is missing, unreadable, of another method or a newer format, or holds NaN.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"The weight file {path} does not exist; check the path given as weights.")
    if path.suffix == CHECKPOINT_SUFFIX:
        return read_checkpoint(path, method)
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no dictionary)
    except (SafetensorError, OSError):
        raise InputError(f"{path} is not a readable safetensors file; save it again with save_weights().") from None
    header = read_header(metadata, method, str(path))
    check_finite(tensors, str(path))
    return replace(header, tensors=tensors)


def read_checkpoint(path: str | Path, method: str) -> WeightFile:
    """Read the trained part of a Lightning checkpoint.

    Raises:
        InputError: the file is missing, corrupted or not a checkpoint of this method, or holds pickled code or NaN.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"The checkpoint {path} does not exist; check ckpt_path.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        reason = "holds pickled code, which is refused," if zipfile.is_zipfile(path) else "is corrupted or"
        raise InputError(f"{path} {reason} is not a checkpoint of {method}; train again or get another.") from None
    metadata = content.get(CHECKPOINT_KEY) if isinstance(content, dict) else None
    if not isinstance(metadata, dict):
        raise InputError(f"{path} was not saved by anomalib-cops; give a checkpoint of {method}.")
    header = read_header(metadata, method, str(path))
    tensors = trained_tensors(content.get("state_dict", {}))
    check_finite(tensors, str(path))
    return replace(header, tensors=tensors)


def trained_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a checkpoint's ``state_dict`` as in a weight file; thresholds that are NaN are left out."""
    tensors = {name.removeprefix(MODEL): value for name, value in state.items() if name.startswith(MODEL)}
    for name, attribute in THRESHOLDS.items():
        value = state.get(f"post_processor.{attribute}")
        if value is not None and not torch.isnan(value):
            tensors[name] = value
    return tensors
