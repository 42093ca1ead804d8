"""Determine what the options of a training amount to, without loading an encoder; this identifies its results.

That is: settings with defaults and presets applied, the encoder, weights among the options, and the first two numbers
of the package's version, as a release that changes only the third computes the same figures.
"""

import inspect
from dataclasses import asdict, replace
from enum import Enum
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from anomalib_cops.encoder import native_image_size, tiny
from anomalib_cops.encoder.load import model_config, patch_of, trained_with_quick_gelu
from anomalib_cops.encoder.positions import check_image_size
from anomalib_cops.errors import InputError
from anomalib_cops.files import sha256
from anomalib_cops.host.reference_images import ReferenceOptions
from anomalib_cops.host.runtime import RuntimeOptions
from anomalib_cops.host.tiling import TileOptions
from anomalib_cops.models.arguments import CommonArguments
from anomalib_cops.models.assembly import DEFAULT_BACKBONE, DEFAULT_PRETRAINED, resolve_settings, training_values
from anomalib_cops.models.method import AUTO, DEFAULT_PRESET, plain
from anomalib_cops.models.request import Request
from anomalib_cops.version import __version__

from ..own_models import is_own_model, own_model_parts
from .cells import Training
from .model_class import COMPONENTS, model_class
from .ready_weights import ReadyWeights, find_ready_weights
from .reference_draw import RESERVED


def resolve(training: Training, weights: ReadyWeights | None) -> dict[str, Any]:
    """Return all that decides what a model computes, as plain data.

    Args:
        training: The training with its options.
        weights: Weights that the options name, if any.

    Raises:
        InputError: An option has a value that is not allowed, or contradicts the weights.
    """
    cls = model_class(training.model)
    if not is_own_model(training.model):
        package = cls.__module__.partition(".")[0]
        return {"settings": _arguments(cls, training.options), "versions": _versions(package)}
    parts = own_model_parts(training.model)
    options = {name: value for name, value in training.options.items() if value is not None}
    request = Request.of(parts, options)
    common = request.common
    preset = parts.preset(common.preset or (weights.preset if weights else "") or DEFAULT_PRESET)
    settings = resolve_settings(request, weights.file if weights else None, preset)
    resolved = {
        "settings": plain(settings),
        "encoder": _encoder(common, settings),
        "seed": common.seed,
        # Where features are cached decides nothing; how precisely they are cached does.
        "cached_as": options.get("cache_precision", "float16") if "feature_cache" in options else None,
        "versions": _versions(),
    }
    if request.automatic:
        resolved["automatic"] = sorted(request.automatic)
    # Of options that earlier versions did not have, only those that are not the default.
    kinds = (("references", ReferenceOptions), ("tiles", TileOptions), ("runtime", RuntimeOptions))
    for name, declaration in kinds:
        if chosen := _not_default(options, asdict(declaration())):
            resolved[name] = chosen
    if weights is not None:
        return {**resolved, "weights": weights.record}
    return {**resolved, "training": training_values(common, preset)}


def check_test_options(training: Training, test_options: dict[str, Any]) -> None:
    """Refuse options for the test alone that cannot be changed after training, before hours are spent on it.

    Raises:
        InputError: The training decides on one of the options, or its value is not allowed.
    """
    if not is_own_model(training.model) or not test_options:
        return
    parts = own_model_parts(training.model)
    free = {*parts.settings.free_at_test, *asdict(TileOptions()), *asdict(RuntimeOptions())}
    for name, value in test_options.items():
        if value == AUTO and name in parts.automatic_names:
            raise InputError(f"test_options has {name}: {AUTO}, which a training chooses; give it among options.")
        if name not in free:
            raise InputError(
                f"test_options has {name}, which a trained {training.model} cannot change; give it among options, or "
                f"choose of {', '.join(sorted(free))}."
            )
    resolve(replace(training, options={**training.options, **test_options}), find_ready_weights(training))


def _encoder(common: CommonArguments, settings: Any) -> dict[str, Any]:
    """Identify the frozen CLIP: by the digest of its file where there is one, else by the tag of its weights."""
    backbone, pretrained = common.backbone or DEFAULT_BACKBONE, common.pretrained or DEFAULT_PRETRAINED
    quick_gelu = getattr(settings, "quick_gelu", common.quick_gelu)
    if quick_gelu is None:
        is_tiny = backbone in tiny.STAND_INS
        quick_gelu = model_config(backbone)["quick_gelu"] if is_tiny else trained_with_quick_gelu(backbone, pretrained)
    path = tiny.tiny_weights(backbone) if backbone in tiny.STAND_INS else Path(pretrained).expanduser()
    return {
        "backbone": backbone,
        "pretrained": f"sha256:{_digest(path, path.stat().st_mtime_ns)}" if path.is_file() else pretrained,
        "quick_gelu": quick_gelu,
        "image_size": _image_size(backbone, common.image_size),
    }


def _image_size(backbone: str, given: int | None) -> int:
    """Return the side of the model's input.

    Raises:
        InputError: The given one is not a multiple of the backbone's patch.
    """
    if not given:
        return native_image_size(backbone)
    check_image_size(given, patch_of(model_config(backbone)["vision_cfg"]), backbone)
    return given


def _not_default(options: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Return those options that have another value than the default."""
    names = [name for name in defaults if name not in RESERVED and options.get(name) is not None]
    return {name: options[name] for name in names if options[name] != defaults[name]}


@cache
def _digest(path: Path, modified: int) -> str:
    """Digest a file once for each time of modification."""
    return sha256(path)


def _arguments(cls: type, options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a constructor, defaults included, that are plain values."""
    parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    defaults = {each.name: each.default for each in parameters if each.name not in COMPONENTS}
    return {
        name: str(value) if isinstance(value, Enum) else value
        for name, value in {**defaults, **options}.items()
        if isinstance(value, str | int | float | bool | list | tuple | dict | Enum | None)
    }


def _versions(other_package: str = "") -> dict[str, str]:
    """Return the first two numbers of the versions of this package and of the one that a model comes from."""
    versions = {"anomalib-cops": __version__}
    if other_package:
        try:
            versions[other_package] = metadata.version(other_package)
        except metadata.PackageNotFoundError:
            versions[other_package] = ""
    return {name: ".".join(version.split(".")[:2]) for name, version in versions.items()}
