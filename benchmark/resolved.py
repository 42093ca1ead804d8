"""What the options of a training come to: the identity of a result, found without loading an encoder.

Part of it are settings with defaults and presets applied, the encoder, weights that were given, and the first two
numbers of the package's version: a release that changes the third computes the same figures.
"""

import inspect
import sys
from dataclasses import fields, replace
from enum import Enum
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from anomalib_cops import __version__
from anomalib_cops.encoder import native_image_size, tiny
from anomalib_cops.encoder.load import TINY, model_config, trained_with_quick_gelu
from anomalib_cops.errors import InputError
from anomalib_cops.models.arguments import CommonArguments
from anomalib_cops.models.assembly import DEFAULT_BACKBONE, DEFAULT_PRETRAINED, resolve_settings
from anomalib_cops.models.method import DEFAULT_PRESET, Method, plain
from anomalib_cops.models.request import Request
from anomalib_cops.plugin import MODELS

from . import models
from .cells import Training
from .ready import ReadyWeights, ready_weights
from .store import file_digest

START = tuple(each.name for each in fields(CommonArguments))


def resolve(training: Training, weights: ReadyWeights | None) -> dict[str, Any]:
    """All that decides what a model computes, as plain data.

    Args:
        training: With the options.
        weights: Those that are among the options, if any.

    Raises:
        InputError: An option has a value that is not allowed, or contradicts the weights.
    """
    cls = models.model_class(training.model)
    if training.model not in MODELS:
        home = cls.__module__.partition(".")[0]
        return {"settings": _arguments(cls, training.options), "versions": _versions(home)}
    method = _method(training.model)
    options = {name: value for name, value in training.options.items() if value is not None}
    start = CommonArguments(**{name: value for name, value in options.items() if name in START})
    chosen = {name: value for name, value in options.items() if name in method.setting_names}
    preset = method.preset(start.preset or (weights.preset if weights else "") or DEFAULT_PRESET)
    settings = resolve_settings(Request(method, start, chosen), weights.file if weights else None, preset)
    found = {
        "settings": plain(settings),
        "encoder": _encoder(start, settings),
        "seed": start.seed,
        # Where features are kept decides nothing, how exactly they are does.
        "cached_as": options.get("cache_precision", "float16") if "feature_cache" in options else None,
        "versions": _versions(),
    }
    if weights is not None:
        return {**found, "weights": weights.record}
    learning = {
        name: preset[name] if getattr(start, name) is None else getattr(start, name)
        for name in ("epochs", "learning_rate")
    }
    return {**found, "training": learning}


def check_test_options(training: Training, test_options: dict[str, Any]) -> None:
    """Refuse options for the test alone that are nothing to a test, before hours go into the training.

    Raises:
        InputError: The training decides on one of them, or its value is not allowed.
    """
    if training.model not in MODELS or not test_options:
        return
    settings: Any = _method(training.model).settings
    free = settings.free_at_test
    for name in test_options:
        if name not in free:
            raise InputError(
                f"test_options has {name}, which a trained {training.model} cannot change; give it among options, or "
                f"choose of {', '.join(sorted(free))}."
            )
    resolve(replace(training, options={**training.options, **test_options}), ready_weights(training))


def _method(model: str) -> Method:
    method: Method = sys.modules[models.model_class(model).__module__].METHOD
    return method


def _encoder(start: CommonArguments, settings: Any) -> dict[str, Any]:
    """The frozen CLIP: a digest of its file where there is one, else the tag of its weights."""
    backbone, pretrained = start.backbone or DEFAULT_BACKBONE, start.pretrained or DEFAULT_PRETRAINED
    quick_gelu = getattr(settings, "quick_gelu", start.quick_gelu)
    if quick_gelu is None:
        is_tiny = backbone == TINY
        quick_gelu = model_config(TINY)["quick_gelu"] if is_tiny else trained_with_quick_gelu(backbone, pretrained)
    path = tiny.tiny_weights() if backbone == TINY else Path(pretrained).expanduser()
    return {
        "backbone": backbone,
        "pretrained": f"sha256:{_digest(path, path.stat().st_mtime_ns)}" if path.is_file() else pretrained,
        "quick_gelu": quick_gelu,
        "image_size": start.image_size or native_image_size(backbone),
    }


@cache
def _digest(path: Path, changed: int) -> str:
    return file_digest(path)


def _arguments(cls: type, options: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a constructor with its defaults, where these are plain values."""
    parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    known = {each.name: each.default for each in parameters if each.name not in models.BARE}
    return {
        name: str(value) if isinstance(value, Enum) else value
        for name, value in {**known, **options}.items()
        if isinstance(value, str | int | float | bool | list | tuple | dict | Enum | None)
    }


def _versions(foreign: str = "") -> dict[str, str]:
    versions = {"anomalib-cops": __version__}
    if foreign:
        try:
            versions[foreign] = metadata.version(foreign)
        except metadata.PackageNotFoundError:
            versions[foreign] = ""
    return {name: ".".join(version.split(".")[:2]) for name, version in versions.items()}
