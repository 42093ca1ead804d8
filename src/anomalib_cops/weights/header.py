"""What a weight file records besides its tensors, and whether that fits the model that is to use them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from anomalib_cops.encoder.identity import EncoderIdentity
from anomalib_cops.errors import InputError
from anomalib_cops.weights.target import Calibration, References, plain_or_none

FORMAT_VERSION = 2
"""Newest version of the format that can be read. Files without references and calibration are written as version 1."""
REQUIRED = frozenset({"method", "backbone", "image_size", "settings", "format_version"})
"""Entries that the header of every version has."""
THRESHOLDS = {"threshold.image": "_image_threshold", "threshold.pixel": "_pixel_threshold"}
"""Tensors of a weight file that belong to the post-processor, with its attributes of that purpose."""
MEMORY, TILE_MEMORY = "memory.", "tile_memory."
"""Prefixes of the tensors of a weight file that hold patches of reference images: of whole images, and of tiles."""


@dataclass(frozen=True)
class WeightFile:
    """Content of a weight file, or of a checkpoint's trained part.

    Attributes:
        source: path of the file, or what messages call it.
        tensors: trained tensors and thresholds by name.
        method: name of the model class that they belong to.
        encoder: the frozen encoder that they were trained on.
        settings: the model's settings as plain data.
        trained_on: data sets and categories that they were trained on, see
            ``data/train_test_overlap.py``; None if unknown.
        version: version of the package that wrote the file; empty if unknown.
        references: the reference images whose patches are among the tensors; None without.
        calibration: where the thresholds come from, if they were calibrated; None if they were found in training.
    """

    source: str
    tensors: dict[str, Tensor]
    method: str
    encoder: EncoderIdentity
    settings: dict[str, Any] = field(default_factory=dict)
    trained_on: list[dict[str, Any]] | None = None
    version: str = ""
    references: References | None = None
    calibration: Calibration | None = None

    @property
    def trained(self) -> dict[str, Tensor]:
        """The trained tensors: all but thresholds and memories."""
        return {name: t for name, t in self.tensors.items() if name not in THRESHOLDS and not is_memory(name)}

    @property
    def memory(self) -> dict[str, Tensor]:
        """The tensors of the memories of reference images; empty without references."""
        return {name: value for name, value in self.tensors.items() if is_memory(name)}

    @property
    def tiles(self) -> str:
        """How images were cut into tiles when references were described or thresholds calibrated; empty if not."""
        return getattr(self.references or self.calibration, "tiles", "")

    def without_thresholds(self) -> "WeightFile":
        """Return a copy for a model that has no post-processor, or one of the user's own."""
        return replace(self, tensors={**self.trained, **self.memory}, calibration=None)

    def metadata(self) -> dict[str, str]:
        """Return everything but the tensors, as the strings that a safetensors header holds."""
        plain = {
            "encoder": self.encoder.record(),
            "settings": self.settings,
            **({} if self.trained_on is None else {"trained_on": self.trained_on}),
        }
        target = {"references": plain_or_none(self.references), "calibration": plain_or_none(self.calibration)}
        plain |= {name: record for name, record in target.items() if record is not None}
        return {
            "format_version": "1" if target.keys().isdisjoint(plain) else str(FORMAT_VERSION),
            "version": self.version,
            "method": self.method,
            # The first version of this package reads these two instead of "encoder".
            "backbone": self.encoder.backbone,
            "image_size": str(self.encoder.image_size),
            **{name: json.dumps(value, sort_keys=True) for name, value in plain.items()},
        }


def is_memory(name: str) -> bool:
    """Tell whether a tensor of a weight file holds patches of reference images."""
    return name.startswith((MEMORY, TILE_MEMORY))


def read_header(metadata: Mapping[str, str], method: str, source: str) -> WeightFile:
    """Parse a header into a ``WeightFile`` without tensors.

    Args:
        metadata: the strings of the header.
        method: name of the model class that the file has to belong to.
        source: path of the file, or what messages call it.

    Raises:
        InputError: the file belongs to another method or program, has a newer format, or its header is broken.
    """
    if REQUIRED - set(metadata):
        raise InputError(f"{source} was not saved by anomalib-cops; give a file of {method}.")
    if metadata["method"] != method:
        raise InputError(f"{source} holds weights of {metadata['method']}, not of {method}.")
    version = str(metadata["format_version"])
    if version.isdecimal() and int(version) > FORMAT_VERSION:
        raise InputError(
            f"{source} has format {version} and this version reads up to {FORMAT_VERSION}; upgrade anomalib-cops."
        )
    try:
        int(version)
        settings, trained_on = json.loads(metadata["settings"]), json.loads(metadata.get("trained_on", "null"))
        plain = {"backbone": metadata["backbone"], "image_size": int(metadata["image_size"])}
        encoder = EncoderIdentity.from_record({**json.loads(metadata.get("encoder", "{}")), **plain})
        references, calibration = (json.loads(metadata.get(name, "null")) for name in ("references", "calibration"))
        references = None if references is None else References(**references)
        calibration = None if calibration is None else Calibration(**calibration)
        if not isinstance(settings, dict) or not isinstance(trained_on, list | None):
            raise ValueError("no dictionary of settings")
    except (ValueError, TypeError) as error:
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
        references=references,
        calibration=calibration,
    )


def check_same_encoder(file: WeightFile, encoder: EncoderIdentity) -> None:
    """Refuse weights that were trained on another encoder; properties that either side does not know are not compared.

    Raises:
        InputError: naming the property in which they differ, with both values.
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
    if (encoder.mean, encoder.std) != (theirs.mean, theirs.std):
        raise InputError(
            f"{file.source} was trained on images with mean {theirs.mean} and std {theirs.std} and this model "
            f"normalises with {encoder.mean} and {encoder.std}; set pretrained to "
            f"{repr(theirs.pretrained) if theirs.pretrained else 'the weights that it was trained on'}."
        )
