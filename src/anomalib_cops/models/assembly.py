"""From the arguments of a Lightning module to its torch model with weights; the same for all methods."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from anomalib_cops.encoder import EncoderIdentity, FrozenCLIP, load_clip
from anomalib_cops.errors import InputError, nearest
from anomalib_cops.models.consistency import check_consistent, check_published_encoder
from anomalib_cops.weights import download, published
from anomalib_cops.weights.format import read_weights
from anomalib_cops.weights.header import WeightFile, check_same_encoder
from anomalib_cops.weights.official import SUFFIXES, KeyMap, from_official, read_official

DEFAULT_BACKBONE = "ViT-L-14-336"
DEFAULT_PRETRAINED = "openai"
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
    settings: Any
    build: Callable[[FrozenCLIP, Any], Any]
    presets: Mapping[str, Mapping[str, Any]]
    keys: KeyMap
    position_resize: Literal["bilinear", "bicubic"] = "bilinear"
    position_antialias: bool = False

    @property
    def setting_names(self) -> frozenset[str]:
        """Names of all settings."""
        return frozenset(each.name for each in fields(self.settings))

    def make_settings(self, values: Mapping[str, Any], file: WeightFile | None = None) -> Any:
        """Settings of plain values, of which those that ``file`` brought may be of another version.

        Raises:
            InputError: a value is not allowed, or the file has a setting that this version does not know.
        """
        if unknown := sorted(set(values) - self.setting_names):
            source = file.source if file else self.name
            raise InputError(f"{source} has the unknown setting '{unknown[0]}'; upgrade anomalib-cops, or train again.")
        return self.settings(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})

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
    pretrained: str | None = None
    image_size: int | None = None
    quick_gelu: bool | None = None
    weights: str | None = None
    preset: str | None = None
    epochs: int | None = None
    learning_rate: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        """Take an empty word for one that was not given, as the command line and configurations write it."""
        for name in ("backbone", "pretrained", "weights", "preset"):
            object.__setattr__(self, name, getattr(self, name) or None)


@dataclass(frozen=True)
class Recipe:
    """What a model is made from.

    Attributes:
        method: which.
        start: what the user gave besides settings.
        chosen: settings that the user gave.
    """

    method: Method
    start: Start
    chosen: dict[str, Any]


@dataclass(frozen=True)
class Assembly:
    """A torch model and how it is trained.

    Attributes:
        recipe: what it was made from.
        model: with random prompts, or those of ``official``.
        epochs: of the training unless the trainer is told otherwise.
        learning_rate: of the prompts.
        file: our weight file to be loaded, if one was given.
        official: official tensors to be loaded, already under our names.
        trained_on: data sets that published weights were trained on; None where not known.
    """

    recipe: Recipe
    model: Any
    epochs: int
    learning_rate: float
    file: WeightFile | None = None
    official: dict[str, Tensor] = field(default_factory=dict)
    trained_on: list[dict[str, Any]] | None = None


def assemble(method: Method, start: Start, given: Mapping[str, Any]) -> Assembly:
    """Build a method's torch model; what is not given comes from the weights, then from the preset.

    Args:
        method: which.
        start: encoder, weights, preset.
        given: arguments of the Lightning module; those that are settings and not None are taken.

    Raises:
        InputError: whatever cannot be used, also where what was given contradicts the weights.
    """
    chosen = {name: value for name, value in given.items() if name in method.setting_names and value is not None}
    recipe = Recipe(method, start, chosen)
    known = published.find(method.name, start.weights) if start.weights else None
    path = _weights_path(method.name, start.weights, known)
    official = path is not None and path.suffix in SUFFIXES
    file = read_weights(path, method.name) if path is not None and not official else None
    tensors = read_official(path, method.keys, method.name) if path is not None and official else {}
    seen = known or (download.recognise(method.name, path) if path is not None and official else None)
    if known is not None:
        check_published_encoder(start)
    preset = method.preset(start.preset or (known.preset if known else DEFAULT_PRESET))
    settings = resolve_settings(recipe, file, preset)
    clip = load_encoder(recipe, settings, file)
    # What the user draws afterwards stays as it would have been.
    with torch.random.fork_rng(devices=[], enabled=start.seed is not None):
        if start.seed is not None:
            torch.manual_seed(start.seed)
        model = method.build(clip, settings)
    trained = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    return Assembly(
        recipe=recipe,
        model=model,
        epochs=start.epochs or preset["epochs"],
        learning_rate=start.learning_rate or preset["learning_rate"],
        file=file,
        official=from_official(tensors, trained, method.keys, str(path)) if tensors else {},
        trained_on=[{"set": name, "categories": []} for name in seen.trained_on] if seen else None,
    )


def resolve_settings(recipe: Recipe, file: WeightFile | None, preset: Mapping[str, Any]) -> Any:
    """Settings of a model: those that were given, before those of the weights, before those of the preset.

    Raises:
        InputError: a value is not allowed, or contradicts the weights.
    """
    method = recipe.method
    values = {name: value for name, value in preset.items() if name in method.setting_names}
    if file is not None:
        check_consistent(recipe, file, values if recipe.start.preset else {})
    return method.make_settings({**values, **(file.settings if file else {}), **recipe.chosen}, file)


def load_encoder(recipe: Recipe, settings: Any, file: WeightFile | None) -> FrozenCLIP:
    """Load the frozen encoder that was given, or that the file's prompts were trained on.

    Raises:
        InputError: it cannot be had, or is not the one of the file.
    """
    method, start = recipe.method, recipe.start
    theirs = file.encoder if file else EncoderIdentity(DEFAULT_BACKBONE, 0)
    pretrained = start.pretrained or theirs.pretrained or DEFAULT_PRETRAINED
    if not start.pretrained and os.sep in pretrained and not Path(pretrained).expanduser().is_file():
        raise InputError(
            f"{file.source if file else 'The model'} was trained on the CLIP weights {pretrained}, which are not there "
            "any more; say where they are by pretrained=."
        )
    quick_gelu = theirs.quick_gelu if start.quick_gelu is None else start.quick_gelu
    clip = load_clip(
        start.backbone or theirs.backbone,
        pretrained,
        start.image_size or theirs.image_size or None,
        quick_gelu=getattr(settings, "quick_gelu", quick_gelu),
        position_resize=method.position_resize,
        position_antialias=method.position_antialias,
    )
    if file is not None:
        check_same_encoder(file, clip.identity)
    return clip


def plain(settings: Any) -> dict[str, Any]:
    """Settings as plain data: for weight files, checkpoints and hyperparameters."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}


def _weights_path(method: str, weights: str | None, known: published.Published | None) -> Path | None:
    if weights is None:
        return None
    return download.fetch(method, weights) if known else Path(weights).expanduser()
