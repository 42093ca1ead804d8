"""Make the constructors of the Lightning classes from the dataclasses that declare their arguments."""

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from anomalib.metrics import Evaluator
from anomalib.visualization import Visualizer
from torch import nn

from anomalib_cops.host.feature_cache import CacheOptions
from anomalib_cops.host.reference_images import ReferenceOptions
from anomalib_cops.host.runtime import RuntimeOptions
from anomalib_cops.host.tiling import TileOptions
from anomalib_cops.models.arguments import Argument, arguments_of, method_arguments
from anomalib_cops.models.method import Method


@dataclass(frozen=True)
class Components:
    """Hold the arguments that replace anomalib's components around the torch model.

    Attributes:
        pre_processor: True for Pillow's bicubic resizing and the encoder's normalisation.
        post_processor: True for order-preserving scores with thresholds from the auxiliary set.
        evaluator: True for image and pixel AUROC and AP, image F1-max, and AUPRO.
        visualizer: True for anomalib's result pictures, with the score, in the shape of the image.
    """

    pre_processor: nn.Module | bool = True
    post_processor: nn.Module | bool = True
    evaluator: Evaluator | bool = True
    visualizer: Visualizer | bool = True


def model_arguments(method: Method) -> dict[str, Argument]:
    """Return all arguments of a method's Lightning class by name, in the order of its constructor."""
    declared = (ReferenceOptions, TileOptions, CacheOptions, RuntimeOptions)
    options = {name: each for one in declared for name, each in arguments_of(one).items()}
    return {**method_arguments(method), **options, **arguments_of(Components)}


def constructor(arguments: dict[str, Argument], build: Callable[..., None]) -> Callable[..., None]:
    """Make an ``__init__`` that has the given arguments, as inspection and command lines see it.

    Args:
        arguments: by name.
        build: called with the instance and all arguments by name.
    """
    own = [
        inspect.Parameter(
            each.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=each.default, annotation=each.kind
        )
        for each in arguments.values()
    ]
    signature = inspect.Signature([inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD), *own])

    def __init__(self: Any, *values: Any, **named: Any) -> None:
        bound = signature.bind(self, *values, **named)
        bound.apply_defaults()
        build(**bound.arguments)

    __init__.__signature__ = signature  # type: ignore[attr-defined] # inspect.signature() reads it
    __init__.__annotations__ = {each.name: each.kind for each in arguments.values()}
    return __init__


def documented(doc: str, arguments: dict[str, Argument]) -> str:
    """Add the arguments to a class's docstring, in front of its "Raises:"."""
    described = "\n".join(
        textwrap.fill(f"{each.name}: {each.meaning}", 112, initial_indent=" " * 4, subsequent_indent=" " * 8)
        for each in arguments.values()
    )
    text, raises, rest = inspect.cleandoc(doc).partition("Raises:\n")
    return f"{text}Args:\n{described}\n\n{raises}{rest}"
