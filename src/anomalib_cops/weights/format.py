"""Weight files: the trained part of a model, with what it needs to be used again."""

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from anomalib_cops.errors import InputError

FORMAT_VERSION = 1
CHECKPOINT_KEY = "anomalib_cops"
CHECKPOINT_SUFFIX = ".ckpt"
WEIGHT_SUFFIX = ".safetensors"
MODEL = "model."
"""Begins the names of the torch model's tensors in a checkpoint."""
THRESHOLDS = {"threshold.image": "_image_threshold", "threshold.pixel": "_pixel_threshold"}
"""Tensors of a weight file that belong to the post-processor, and its attributes."""


@dataclass(frozen=True)
class EncoderIdentity:
    """Which frozen CLIP prompts were trained on.

    Attributes:
        backbone: open_clip model name, or "tiny".
        image_size: side of the images in pixels.
        quick_gelu: activation; None where a file of an earlier version does not say.
        pretrained: open_clip tag or file of its weights; empty where not known.
        digest: SHA-256 of the weights' values; empty where not known.
    """

    backbone: str
    image_size: int
    quick_gelu: bool | None = None
    pretrained: str = ""
    digest: str = ""


@dataclass(frozen=True)
class WeightFile:
    """Content of a weight file or of a checkpoint's trained part.

    Attributes:
        source: the file.
        tensors: trained tensors and thresholds by name.
        method: the model class they belong to.
        encoder: the frozen encoder they were trained on.
        settings: the model's settings as plain data.
        trained_on: data sets and categories that they were trained on, see ``DataRecord``; None where not known.
        version: of the package that wrote the file.
    """

    source: str
    tensors: dict[str, Tensor]
    method: str
    encoder: EncoderIdentity
    settings: dict[str, Any] = field(default_factory=dict)
    trained_on: list[dict[str, Any]] | None = None
    version: str = ""

    @property
    def trained(self) -> dict[str, Tensor]:
        """The tensors less thresholds."""
        return {name: value for name, value in self.tensors.items() if name not in THRESHOLDS}

    def without_thresholds(self) -> "WeightFile":
        """The same for a model that has a post-processor of its own, or none."""
        return replace(self, tensors=self.trained)

    def metadata(self) -> dict[str, str]:
        """All but the tensors, as the strings that a safetensors header holds."""
        plain = {
            "encoder": asdict(self.encoder),
            "settings": self.settings,
            **({} if self.trained_on is None else {"trained_on": self.trained_on}),
        }
        return {
            "format_version": str(FORMAT_VERSION),
            "version": self.version,
            "method": self.method,
            # Earlier versions read these two and not the identity of the encoder.
            "backbone": self.encoder.backbone,
            "image_size": str(self.encoder.image_size),
            **{name: json.dumps(value, sort_keys=True) for name, value in plain.items()},
        }


def write_weights(file: WeightFile) -> Path:
    """Write a weight file; whatever stops it, no half-written file takes its name.

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
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, file.tensors, file.metadata())
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}); choose another place.") from None
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
    """Read a weight file of a method, or the trained part of one of its checkpoints.

    Raises:
        InputError: missing, unreadable, of another method or a newer format, or with NaN in it.
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
    identity = read_identity(metadata, method, str(path))
    check_finite(tensors, str(path))
    return replace(identity, tensors=tensors)


def read_checkpoint(path: str | Path, method: str) -> WeightFile:
    """Read the trained part of a Lightning checkpoint.

    Raises:
        InputError: missing, corrupted, with pickled code, not a checkpoint of this method, or with NaN in it.
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
    identity = read_identity(metadata, method, str(path))
    tensors = from_state(content.get("state_dict", {}))
    check_finite(tensors, str(path))
    return replace(identity, tensors=tensors)


def from_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a checkpoint's ``state_dict`` by their names in a weight file, less thresholds that are not set."""
    tensors = {name.removeprefix(MODEL): value for name, value in state.items() if name.startswith(MODEL)}
    for name, attribute in THRESHOLDS.items():
        value = state.get(f"post_processor.{attribute}")
        if value is not None and not torch.isnan(value):
            tensors[name] = value
    return tensors


def read_identity(metadata: Mapping[str, str], method: str, source: str) -> WeightFile:
    """Read what a header says, with no tensors; refuse files of another method, program or a future format.

    Raises:
        InputError: saying which.
    """
    if {"method", "backbone", "image_size", "settings", "format_version"} - set(metadata):
        raise InputError(f"{source} was not saved by anomalib-cops; give a file of {method}.")
    if metadata["method"] != method:
        raise InputError(f"{source} holds weights of {metadata['method']}, not of {method}.")
    try:
        version = int(metadata["format_version"])
        if version > FORMAT_VERSION:
            raise InputError(
                f"{source} has format {version} and this version reads up to {FORMAT_VERSION}; upgrade anomalib-cops."
            )
        settings, trained_on = json.loads(metadata["settings"]), json.loads(metadata.get("trained_on", "null"))
        plain = {"backbone": metadata["backbone"], "image_size": int(metadata["image_size"])}
        encoder = EncoderIdentity(**{**json.loads(metadata.get("encoder", "{}")), **plain})
        if not isinstance(settings, dict) or not isinstance(trained_on, list | None):
            raise ValueError("no dictionary of settings")
    except (ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{source} has a header that this version of anomalib-cops cannot read ({error}); upgrade anomalib-cops, "
            "or save the file again."
        ) from None
    return WeightFile(
        source=source,
        tensors={},
        method=method,
        encoder=encoder,
        settings=settings,
        trained_on=trained_on,
        version=metadata.get("version", ""),
    )


def check_encoder(file: WeightFile, encoder: EncoderIdentity) -> None:
    """Refuse weights that were trained on another encoder; what either side does not know is not compared.

    Raises:
        InputError: naming both.
    """
    theirs = file.encoder
    if (encoder.backbone, encoder.image_size) != (theirs.backbone, theirs.image_size):
        raise InputError(
            f"{file.source} was trained on backbone '{theirs.backbone}' at {theirs.image_size} pixels and this model "
            f"uses '{encoder.backbone}' at {encoder.image_size}; set backbone and image_size to the former."
        )
    if None not in (encoder.quick_gelu, theirs.quick_gelu) and encoder.quick_gelu != theirs.quick_gelu:
        raise InputError(
            f"{file.source} was trained with quick_gelu={theirs.quick_gelu} and this model has {encoder.quick_gelu}; "
            "set quick_gelu to the former."
        )
    if encoder.digest and theirs.digest and encoder.digest != theirs.digest:
        raise InputError(
            f"{file.source} was trained on the CLIP weights '{theirs.pretrained}' (digest {theirs.digest[:12]}) and "
            f"this model has '{encoder.pretrained}' (digest {encoder.digest[:12]}), so its prompts mean nothing here; "
            "set pretrained to the former."
        )


def check_finite(tensors: Mapping[str, Tensor], source: str, advice: str = "get another file.") -> None:
    """Refuse NaN and infinite values.

    Raises:
        InputError: naming the first broken tensor.
    """
    for name, tensor in tensors.items():
        # Extremes are NaN where anything is, and need no copy of the tensor.
        if tensor.numel() and not all(extreme.isfinite() for extreme in tensor.aminmax()):
            raise InputError(f"{source} holds NaN or infinite values in {name}; {advice}")


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
