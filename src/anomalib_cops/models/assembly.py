"""From the arguments of a Lightning module to its torch model with weights; the same for all methods."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from anomalib_cops import published
from anomalib_cops.clip import FrozenCLIP, load_clip
from anomalib_cops.errors import InputError, nearest
from anomalib_cops.official import SUFFIXES, KeyMap, from_official, read_official
from anomalib_cops.weights import WeightFile, check_encoder, read_weights

DEFAULT_BACKBONE = "ViT-L-14-336"
DEFAULT_PRESET = "default"
ADAM_BETAS = (0.5, 0.999)
"""Of all four methods."""


@dataclass(frozen=True)
class Method:
    """What tells one method from another when a model is put together.

    Attributes:
        name: of the Lightning class, as weight files call it.
        settings: a frozen dataclass of sizes and switches that checks its values; lists are tuples in it. If it has a
            field ``quick_gelu``, that decides on the encoder's activation.
        build: makes the torch model of a frozen encoder and settings.
        presets: by auxiliary set, values of settings and of ``epochs`` and ``learning_rate``.
        keys: names in official checkpoints.
        position_resize: how the encoder's position table is fitted to the image size.
        position_antialias: low-pass filter when that is done.
    """

    name: str
    settings: Callable[..., Any]
    build: Callable[[FrozenCLIP, Any], Any]
    presets: Mapping[str, Mapping[str, Any]]
    keys: KeyMap
    position_resize: Literal["bilinear", "bicubic"] = "bilinear"
    position_antialias: bool = False

    @property
    def setting_names(self) -> frozenset[str]:
        """Names of all settings."""
        return frozenset(each.name for each in fields(self.settings))  # type: ignore[arg-type]

    def preset(self, name: str) -> dict[str, Any]:
        """A preset's values, a copy.

        Raises:
            InputError: unknown preset.
        """
        if name not in self.presets:
            raise InputError(f"Unknown {self.name} preset '{name}'{nearest(name, self.presets)}")
        return dict(self.presets[name])


@dataclass(frozen=True)
class Start:
    """What the user gave besides settings; None is decided by the weights, the preset or the encoder.

    Attributes:
        backbone: open_clip model name, or "tiny".
        pretrained: open_clip tag or weight file of the backbone.
        image_size: side of the model's input in pixels.
        quick_gelu: activation of the backbone; None for the one that it was trained with.
        weights: file, or name of a published checkpoint.
        preset: by auxiliary set.
        epochs: of the training.
        learning_rate: of the prompts.
        seed: of the first prompts and of what training draws; the global one if not given.
    """

    backbone: str | None = None
    pretrained: str = "openai"
    image_size: int | None = None
    quick_gelu: bool | None = None
    weights: str | None = None
    preset: str | None = None
    epochs: int | None = None
    learning_rate: float | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Assembly:
    """A torch model and how it is trained.

    Attributes:
        model: with random prompts.
        epochs: of the training unless the trainer is told otherwise.
        learning_rate: of the prompts.
        seed: of what training draws; the global one if not given.
        file: our weight file to be loaded, if one was given.
        official: official tensors to be loaded, already under our names.
    """

    model: Any
    epochs: int
    learning_rate: float
    seed: int | None = None
    file: WeightFile | None = None
    official: dict[str, Tensor] = field(default_factory=dict)


def assemble(method: Method, start: Start, given: Mapping[str, Any]) -> Assembly:
    """Build a method's torch model; what is not given comes from the weights, then from the preset.

    Args:
        method: which.
        start: encoder, weights, preset.
        given: arguments of the Lightning module; those that are settings and not None are taken.

    Raises:
        InputError: whatever cannot be used.
    """
    known = published.find(method.name, start.weights) if start.weights else None
    path = _weights_path(method.name, start.weights, known)
    file = read_weights(path, method.name) if path is not None and path.suffix not in SUFFIXES else None
    tensors = read_official(path, method.keys, method.name) if path is not None and file is None else {}
    if file is not None:
        check_encoder(file, start.backbone or file.backbone, start.image_size or file.image_size)
    values = method.preset(start.preset or (known.preset if known else DEFAULT_PRESET))
    epochs, rate = values.pop("epochs"), values.pop("learning_rate")
    chosen = {name: value for name, value in given.items() if name in method.setting_names and value is not None}
    values = {**values, **(file.settings if file else {}), **chosen}
    settings = method.settings(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    clip = load_clip(
        start.backbone or (file.backbone if file else DEFAULT_BACKBONE),
        start.pretrained,
        start.image_size or (file.image_size if file else None),
        quick_gelu=getattr(settings, "quick_gelu", start.quick_gelu),
        position_resize=method.position_resize,
        position_antialias=method.position_antialias,
    )
    # What the user draws afterwards stays as it would have been.
    with torch.random.fork_rng(devices=[], enabled=start.seed is not None):
        if start.seed is not None:
            torch.manual_seed(start.seed)
        model = method.build(clip, settings)
    trained = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    official = from_official(tensors, trained, method.keys, str(path)) if tensors else {}
    return Assembly(model, start.epochs or epochs, start.learning_rate or rate, start.seed, file, official)


def plain(settings: Any) -> dict[str, Any]:
    """Settings as plain data: for weight files, checkpoints and hyperparameters."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}


def _weights_path(method: str, weights: str | None, known: published.Published | None) -> Path | None:
    if weights is None:
        return None
    return published.fetch(method, weights) if known else Path(weights).expanduser()
