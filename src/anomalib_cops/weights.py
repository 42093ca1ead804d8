"""Weight files: the trained part of a model, with what it needs to be used again."""

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from anomalib_cops.errors import InputError

FORMAT_VERSION = 1
CHECKPOINT_KEY = "anomalib_cops"


@dataclass(frozen=True)
class WeightFile:
    """Content of a weight file.

    Attributes:
        source: the file.
        tensors: trained tensors by name.
        method: the model class they belong to.
        backbone: the frozen encoder they were trained on.
        image_size: side of the images in pixels.
        settings: the model's settings as plain data.
    """

    source: str
    tensors: dict[str, Tensor]
    method: str
    backbone: str
    image_size: int
    settings: dict[str, Any] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        """All but the tensors, as the strings that a safetensors header holds."""
        return {
            "format_version": str(FORMAT_VERSION),
            "method": self.method,
            "backbone": self.backbone,
            "image_size": str(self.image_size),
            "settings": json.dumps(self.settings, sort_keys=True),
        }


def write_weights(file: WeightFile) -> Path:
    """Write a weight file; whatever stops it, no half-written file takes its name."""
    path = Path(file.source)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, file.tensors, file.metadata())
    return path


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file that everybody may read; it appears complete or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(plain, unfinished, metadata=metadata)
        unfinished.chmod(0o644)  # safetensors writes for the owner alone
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_weights(path: str | Path, method: str) -> WeightFile:
    """Read a weight file of a method.

    Raises:
        InputError: missing, unreadable, of another method or a newer format, or with NaN in it.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"The weight file {path} does not exist; check the path given as weights.")
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no dictionary)
    except (SafetensorError, OSError):
        raise InputError(f"{path} is not a readable safetensors file; save it again with save_weights().") from None
    identity = read_identity(metadata, method, str(path))
    check_finite(tensors, str(path))
    return replace(identity, tensors=tensors)


def read_identity(metadata: Mapping[str, str], method: str, source: str) -> WeightFile:
    """What a header says, with no tensors; files of another method, program or a future format are refused.

    Raises:
        InputError: saying which.
    """
    if {"method", "backbone", "image_size", "settings", "format_version"} - set(metadata):
        raise InputError(f"{source} was not saved by anomalib-cops; give a file of {method}.")
    if metadata["method"] != method:
        raise InputError(f"{source} holds weights of {metadata['method']}, not of {method}.")
    if int(metadata["format_version"]) > FORMAT_VERSION:
        raise InputError(
            f"{source} has format {metadata['format_version']} and this version reads up to {FORMAT_VERSION}; "
            "upgrade anomalib-cops."
        )
    return WeightFile(
        source=source,
        tensors={},
        method=method,
        backbone=metadata["backbone"],
        image_size=int(metadata["image_size"]),
        settings=json.loads(metadata["settings"]),
    )


def check_encoder(file: WeightFile, backbone: str, image_size: int) -> None:
    """Refuse weights that were trained on another encoder.

    Raises:
        InputError: naming both.
    """
    if (backbone, image_size) != (file.backbone, file.image_size):
        raise InputError(
            f"{file.source} was trained on backbone '{file.backbone}' at {file.image_size} pixels and this model uses "
            f"'{backbone}' at {image_size}; set backbone and image_size to the former."
        )


def check_finite(tensors: Mapping[str, Tensor], source: str) -> None:
    """Refuse NaN and infinite values.

    Raises:
        InputError: naming the first broken tensor.
    """
    for name, tensor in tensors.items():
        # Extremes are NaN where anything is, and need no copy of the tensor.
        if tensor.numel() and not all(extreme.isfinite() for extreme in tensor.aminmax()):
            raise InputError(f"{source} holds NaN or infinite values in {name}; get another file.")


def check_fits(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str) -> None:
    """Demand exactly the expected names and shapes.

    Raises:
        InputError: listing what is missing, unknown or of another shape.
    """
    fitting = {name for name in expected if name in tensors and tensors[name].shape == expected[name].shape}
    wrong = sorted({*expected, *tensors} - fitting)
    if wrong:
        shown = ", ".join(wrong[:4]) + (f" and {len(wrong) - 4} more" if len(wrong) > 4 else "")
        raise InputError(f"{source} does not fit this model: {shown} missing, unknown or of another shape.")


def check_checkpoint(path: str | Path, method: str) -> None:
    """Look into a Lightning checkpoint before it is used.

    Raises:
        InputError: missing, corrupted, with pickled code, or not a checkpoint of this method.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"The checkpoint {path} does not exist; check ckpt_path.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        reason = "holds pickled code, which is refused," if zipfile.is_zipfile(path) else "is corrupted or"
        raise InputError(f"{path} {reason} is not a checkpoint of {method}; train again or get another.") from None
    if not isinstance(content, dict) or CHECKPOINT_KEY not in content:
        raise InputError(f"{path} was not saved by anomalib-cops; give a checkpoint of {method}.")
    read_identity(content[CHECKPOINT_KEY], method, str(path))
