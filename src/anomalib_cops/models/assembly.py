"""Build a torch model of any method, with its weights, from a user's arguments."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anomalib_cops.encoder import EncoderIdentity, FrozenCLIP, image_only_names, load_clip
from anomalib_cops.errors import InputError
from anomalib_cops.models.arguments import CommonArguments
from anomalib_cops.models.consistency import check_consistent, check_published_encoder
from anomalib_cops.models.method import DEFAULT_PRESET, Method
from anomalib_cops.models.request import Request
from anomalib_cops.weights import download, published
from anomalib_cops.weights.format import read_weights
from anomalib_cops.weights.header import WeightFile, check_same_encoder
from anomalib_cops.weights.official import SUFFIXES, from_official, read_official

DEFAULT_BACKBONE = "ViT-L-14-336"
DEFAULT_PRETRAINED = "openai"
ADAM_BETAS = (0.5, 0.999)
"""Adam's β in all methods."""


@dataclass(frozen=True)
class RequestedWeights:
    """Trained prompts that a request names, as they were read.

    Attributes:
        file: content of one of our weight files or checkpoints.
        official: tensors of an official checkpoint, under the official names.
        source: path of the official checkpoint, for messages.
        preset: preset that published weights were trained with, if they were given by name.
        trained_on: data sets that published weights were trained on; None if unknown.
    """

    file: WeightFile | None = None
    official: dict[str, Tensor] = field(default_factory=dict)
    source: str = ""
    preset: str = DEFAULT_PRESET
    trained_on: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class AssembledModel:
    """A torch model, the weights to load into it, and how to train it.

    Attributes:
        request: the user's arguments.
        model: a :class:`~anomalib_cops.models.base.TorchModel` with random prompts.
        epochs: number of training epochs, unless the trainer sets a limit.
        learning_rate: learning rate of the prompts.
        file: our weight file or checkpoint that the caller has to load; None if none was given.
        official: official tensors that the caller has to load, under our names; empty if none were given.
        trained_on: data sets that published weights were trained on; None if unknown.
    """

    request: Request
    model: Any
    epochs: int
    learning_rate: float
    file: WeightFile | None = None
    official: dict[str, Tensor] = field(default_factory=dict)
    trained_on: list[dict[str, Any]] | None = None


def assemble(request: Request) -> AssembledModel:
    """Build the torch model of a request. Values that are not given come from the weights, else from the preset.

    Raises:
        InputError: an argument cannot be used or contradicts the weights.
    """
    method, common = request.method, request.common
    requested = read_requested_weights(method, common)
    preset = method.preset(common.preset or requested.preset)
    settings = resolve_settings(request, requested.file, preset)
    if method.check_official and requested.official:
        method.check_official(settings, requested.official, requested.source)
    clip = load_encoder(request, settings, requested.file)
    # Keep the global random state, so that the user's own random numbers do not change.
    with torch.random.fork_rng(devices=[], enabled=common.seed is not None):
        if common.seed is not None:
            torch.manual_seed(common.seed)
        model: Any = method.build(clip, settings)
    official = requested.official
    if official and method.keys is not None:
        trained = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
        official = from_official(official, trained, method.keys, requested.source)
    return AssembledModel(
        request=request,
        model=model,
        **training_values(common, preset),
        file=requested.file,
        official=official,
        trained_on=requested.trained_on,
    )


def read_requested_weights(method: Method, common: CommonArguments) -> RequestedWeights:
    """Find and read the weights that ``common.weights`` names; download published ones.

    Raises:
        InputError: the weights cannot be found or read, or published ones were given with another encoder.
    """
    if common.weights is None:
        return RequestedWeights()
    named = published.find(method.name, common.weights)
    if named:
        check_published_encoder(common)
    path = download.fetch(method.name, common.weights) if named else Path(common.weights).expanduser()
    if path.suffix not in SUFFIXES:
        return RequestedWeights(file=read_weights(path, method.name))
    if method.keys is None:
        raise InputError(f"{path} cannot be read: {method.name} has no official code; give a file of save_weights.")
    official = read_official(path, method.keys, method.name)
    published_entry = named or download.recognise(method.name, path)
    return RequestedWeights(
        official=official,
        source=str(path),
        preset=named.preset if named else DEFAULT_PRESET,
        trained_on=published_entry.training_data if published_entry else None,
    )


def training_values(common: CommonArguments, preset: Mapping[str, Any]) -> dict[str, Any]:
    """Return epochs and learning rate: those that were given, else those of the preset."""
    given = {"epochs": common.epochs, "learning_rate": common.learning_rate}
    return {name: preset[name] if value is None else value for name, value in given.items()}


def resolve_settings(request: Request, file: WeightFile | None, preset: Mapping[str, Any]) -> Any:
    """Return a model's settings: values that were given, else those of the weights, else those of the preset.

    Raises:
        InputError: a value is not allowed, or contradicts the weights.
    """
    method = request.method
    values = {name: value for name, value in preset.items() if name in method.setting_names}
    if file is not None:
        check_consistent(request, file, values if request.common.preset else {})
    from_file = file.settings if file else {}
    return method.make_settings({**values, **from_file, **request.settings}, file.source if file else "")


def load_encoder(request: Request, settings: Any, file: WeightFile | None) -> FrozenCLIP:
    """Load the frozen encoder that was given, or the one that the file's prompts were trained on.

    Raises:
        InputError: the encoder cannot be loaded, or is not the one of the file.
    """
    method, common = request.method, request.common
    theirs = file.encoder if file else EncoderIdentity(DEFAULT_BACKBONE, 0)
    pretrained = common.pretrained or theirs.pretrained or DEFAULT_PRETRAINED
    if not common.pretrained and os.sep in pretrained and not Path(pretrained).expanduser().exists():
        raise InputError(
            f"{file.source if file else 'The model'} was trained on the CLIP weights {pretrained}, which are not "
            "there any more; give their path by pretrained=."
        )
    quick_gelu = theirs.quick_gelu if common.quick_gelu is None else common.quick_gelu
    backbone = common.backbone or theirs.backbone
    if method.reads_text and backbone in image_only_names():
        raise InputError(
            f"{method.name} compares images with words, and backbone '{backbone}' has no text tower; use LinearProbe "
            "with it, or a backbone with a text tower such as ViT-B-16."
        )
    clip = load_clip(
        backbone,
        pretrained,
        common.image_size or theirs.image_size or None,
        quick_gelu=getattr(settings, "quick_gelu", quick_gelu),
        position_resize=method.position_resize,
        position_antialias=method.position_antialias,
    )
    if file is not None:
        check_same_encoder(file, clip.identity)
    return clip
