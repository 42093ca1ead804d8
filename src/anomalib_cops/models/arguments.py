"""Arguments of all models, and their help, taken from the dataclasses that declare them."""

from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, get_type_hints

import docstring_parser

from anomalib_cops.models.method import DEFAULT_PRESET, Method


@dataclass(frozen=True)
class CommonArguments:
    """What users decide for every method.

    None leaves the choice to the weights, then to the preset, then to the encoder.

    Attributes:
        backbone: open_clip ViT, or "tiny" for the embedded stand-in that works offline. By default the one that the
            weights were trained on, else ViT-L-14-336.
        pretrained: open_clip tag or local weight file of the backbone. By default that of the weights, else "openai".
        image_size: side of the model's input in pixels, a multiple of the patch. By default that of the weights, else
            518 for 14-pixel patches and the backbone's own size for others.
        quick_gelu: activation of a backbone whose weight file does not tell. By default the one it was trained with.
        weights: trained prompts, which make the model zero-shot at once: a file from ``save_weights``, a checkpoint, an
            official checkpoint, or the name of a published one.
        preset: name of a set of values for what is not given, by auxiliary set. By default that of published weights,
            else "default".
        epochs: length of the training, unless the trainer is given one.
        learning_rate: of the prompts.
        seed: of the first prompts and of what training draws. By default the global one (``seed_everything``).
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
        """Take an empty word, which the command line and configurations write, for one that was not given."""
        for name in ("backbone", "pretrained", "weights", "preset"):
            object.__setattr__(self, name, getattr(self, name) or None)


@dataclass(frozen=True)
class Argument:
    """One argument of a constructor.

    Attributes:
        name: as users give it.
        kind: its type.
        default: its value when it is not given.
        meaning: one or more sentences of help.
    """

    name: str
    kind: Any
    default: Any
    meaning: str


def arguments_of(declaration: type, *, optional: bool = False) -> dict[str, Argument]:
    """Read the arguments that a dataclass declares.

    Args:
        declaration: documents its fields under "Attributes:".
        optional: let every argument be None, and be it by default, so that weights and presets can decide.

    Raises:
        TypeError: a field has no documentation, which would leave it without help.
    """
    documented = docstring_parser.parse(declaration.__doc__ or "", style=docstring_parser.DocstringStyle.GOOGLE)
    meanings = {each.arg_name: " ".join((each.description or "").split()) for each in documented.params}
    kinds = get_type_hints(declaration)
    found = {}
    for each in fields(declaration):
        if not meanings.get(each.name):
            raise TypeError(f"{declaration.__name__} does not say what its field '{each.name}' means.")
        kind: Any = list[int] if kinds[each.name] == tuple[int, ...] else kinds[each.name]
        default = None if optional or each.default is MISSING else each.default
        found[each.name] = Argument(each.name, kind | None if optional else kind, default, meanings[each.name])
    return found


def method_arguments(method: Method) -> dict[str, Argument]:
    """Read the arguments of a method: those of all methods, and its settings behind them.

    The meaning of what the presets and the settings decide ends with the default value. A setting that has the name of
    a common argument is one argument with it: ``quick_gelu`` means what the settings say, ``seed`` means both.
    """
    common, own = arguments_of(CommonArguments), arguments_of(method.settings, optional=True)
    if "seed" in own:
        both = f"{own['seed'].meaning} Also {common['seed'].meaning}"
        own["seed"] = replace(own["seed"], meaning=both)
    merged = {**common, **own}
    for name, each in merged.items():
        if default := default_words(method, name):
            merged[name] = replace(each, meaning=f"{each.meaning} Default: {default}.")
    return {**{name: each for name, each in merged.items() if name != "seed"}, "seed": merged["seed"]}


def default_words(method: Method, name: str) -> str:
    """Write the default of a setting, or of epochs and learning rate: one value, and presets that have another.

    Empty where the meaning of the argument says what an empty value stands for.
    """
    plain = next((each.default for each in fields(method.settings) if each.name == name), None)
    default = method.presets[DEFAULT_PRESET].get(name, plain)
    if default in (None, "", ()) or (name == "seed"):
        return ""
    other = {preset: values[name] for preset, values in method.presets.items() if values.get(name, default) != default}
    presets = ", ".join(f"preset {preset}: {value}" for preset, value in other.items())
    return f"{default} ({presets})" if presets else f"{default}"
