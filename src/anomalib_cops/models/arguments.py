"""Read the arguments of models and their help texts from the dataclasses that declare them."""

import sys
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, Literal, get_type_hints

import docstring_parser

from anomalib_cops.models.method import AUTOMATIC, DEFAULT_PRESET, Method


@dataclass(frozen=True)
class CommonArguments:
    """Arguments that every method has.

    The value of an argument that is None comes from the weights, else from the preset, else from the encoder.

    Attributes:
        backbone: name of an open_clip model whose image tower is a ViT, or "tiny" or "tiny-looks" for an embedded
            stand-in that works offline. LinearProbe also takes timm's names of DINOv2 and DINOv3. By default the one
            that the weights were trained on, else ViT-L-14-336.
        pretrained: tag of the backbone, a local weight file, or a folder with one. By default that of the
            weights, else "openai".
        image_size: side of the model's input in pixels, a multiple of the patch. By default that of the weights, else
            518 for 14-pixel patches and the backbone's own size for others.
        quick_gelu: whether the backbone uses QuickGELU, if its weight file does not record it. By default the
            activation it was trained with.
        weights: trained prompts, with which the model needs no training: a file from ``save_weights``, a checkpoint, an
            official checkpoint, or the name of published weights.
        preset: name of a set of values for arguments that are not given, by auxiliary set. By default that of published
            weights, else "default".
        epochs: number of training epochs, unless the trainer sets a limit.
        learning_rate: learning rate of the prompts.
        seed: seed of the initial prompts and of the random numbers in training. By default the global one
            (``seed_everything``).
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
        """Treat empty strings, which the command line and configurations produce, as None."""
        for name in ("backbone", "pretrained", "weights", "preset"):
            object.__setattr__(self, name, getattr(self, name) or None)


@dataclass(frozen=True)
class Argument:
    """One argument of a constructor.

    Attributes:
        name: its keyword.
        kind: its type.
        default: its value if it is not given.
        meaning: its help text, one or more sentences.
    """

    name: str
    kind: Any
    default: Any
    meaning: str


def arguments_of(declaration: type, *, optional: bool = False) -> dict[str, Argument]:
    """Read the arguments that a dataclass declares.

    Args:
        declaration: dataclass that documents its fields under "Attributes:".
        optional: make None an allowed value and the default of every argument, so that weights and presets can decide.

    Raises:
        TypeError: a field is not documented and would have no help.
    """
    documented = docstring_parser.parse(declaration.__doc__ or "", style=docstring_parser.DocstringStyle.GOOGLE)
    meanings = {each.arg_name: " ".join((each.description or "").split()) for each in documented.params}
    kinds = get_type_hints(declaration)
    arguments = {}
    for declared in fields(declaration):
        name = declared.name
        if not meanings.get(name) and sys.flags.optimize < 2:  # python -OO strips documentation
            raise TypeError(f"{declaration.__name__} does not say what its field '{name}' means.")
        kind: Any = list[int] if kinds[name] == tuple[int, ...] else kinds[name]
        if AUTOMATIC.items() <= declared.metadata.items():
            kind = kind | Literal["auto"]
        default = None if optional or declared.default is MISSING else declared.default
        arguments[name] = Argument(name, kind | None if optional else kind, default, meanings.get(name, ""))
    return arguments


def method_arguments(method: Method) -> dict[str, Argument]:
    """Return the arguments of a method: the common ones, followed by its settings.

    If a preset or the settings determine a default, it is added to the end of the help text. A setting with the name of
    a common argument replaces it: ``quick_gelu`` keeps the help of the setting, ``seed`` has that of both.
    """
    common, own = arguments_of(CommonArguments), arguments_of(method.settings, optional=True)
    if "seed" in own:
        both = f"{own['seed'].meaning} It is also the {common['seed'].meaning}"
        own["seed"] = replace(own["seed"], meaning=both)
    merged = {**common, **own}
    for name, each in merged.items():
        if default := default_words(method, name):
            merged[name] = replace(each, meaning=f"{each.meaning} Default: {default}.")
    return {**{name: each for name, each in merged.items() if name != "seed"}, "seed": merged["seed"]}


def default_words(method: Method, name: str) -> str:
    """Return the default of a setting, of epochs or of the learning rate, with the presets that set another value.

    Return an empty string if the default is empty; the help text of the argument then says what this means.
    """
    plain = next((each.default for each in fields(method.settings) if each.name == name), None)
    default = method.presets[DEFAULT_PRESET].get(name, plain)
    if name == "seed" or default in (None, "", ()):
        return ""
    other = {preset: values[name] for preset, values in method.presets.items() if values.get(name, default) != default}
    presets = ", ".join(f"preset {preset}: {value}" for preset, value in other.items())
    return f"{default} ({presets})" if presets else f"{default}"
