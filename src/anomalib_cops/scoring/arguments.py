"""Arguments of ``anomalib-cops score``: the same for models that are built and for exported files."""

import inspect
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anomalib_cops.errors import InputError
from anomalib_cops.machine import processors

PROGRAM = "anomalib-cops score"
DESCRIPTION = """Score the images of a folder into a table with one row per image.

The same command goes on where an earlier run stopped. Exit code: 0, 3 if rows of the table have an error, 2 if the
command cannot do its work."""
MODEL_FILES = (".safetensors", ".ckpt", ".onnx", ".xml", ".pt")
"""Suffixes of files that ``--model`` may name instead of a method."""


@dataclass(frozen=True)
class Option:
    """An argument that all models share."""

    name: str
    help: str
    type: Any = str
    default: Any = None
    is_required: bool = False


OPTIONS = (
    Option("--output", "table to write: *.parquet, *.csv or *.jsonl", is_required=True),
    Option("--pictures", "folder for a picture of each result; none are written without it"),
    Option("--references", "folder of good images to compare with"),
    Option("--tiles", "auto, a grid such as 3x4, a size such as 512, or none: tiles that large images are cut into"),
    Option("--device", "device of the model, such as cuda or cpu; by default the best one there is"),
    Option("--batch_size", "images that are scored at once", int, 1),
    Option("--workers", "processes that read images ahead; 0 reads between the scores", int, max(1, processors() - 1)),
    Option("--precision", "32-true, or bf16-mixed to let the frozen towers compute in bfloat16", str, "32-true"),
    Option("--max_pixels", "largest image in pixels; by default about 179 million, Pillow's limit", int),
    Option("--ray_actors", "copies of the model under --ray", int, 1),
    Option("--ray_gpus", "GPUs of each copy of the model under --ray", float, 0.0),
)


@dataclass(frozen=True)
class Arguments:
    """What the command line says.

    Attributes:
        options: values of the source and of the options that all models share.
        model: name of a method, or path of a file.
        model_arguments: arguments of the method's constructor.
    """

    options: dict[str, Any]
    model: str
    model_arguments: dict[str, Any] = field(default_factory=dict)


def parse(arguments: Sequence[str] | None = None) -> Arguments:
    """Parse the command line. For an exported model, this imports only the standard library.

    Raises:
        InputError: arguments cannot be used together.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    model = _value_of(words, "--model")
    if model is not None and model.lower().endswith(MODEL_FILES):
        parser = ArgumentParser(PROGRAM, description=DESCRIPTION, allow_abbrev=False)
        parser.add_argument("--model", required=True, help="file of an exported model or of trained weights")
        _add_options(parser, is_typed=False)
        return _arguments(parser.parse_args(words), model)
    if model is None and not {"--config", "--help", "-h"} & {word.partition("=")[0] for word in words}:
        raise InputError(
            "--model is missing; give a method, such as --model CoPS --model.weights cops.safetensors, or a file, "
            "such as --model model.onnx."
        )
    return _parse_method(words)


def _parse_method(words: Sequence[str]) -> Arguments:
    """Parse the arguments of a method as anomalib's command line does, without building the model."""
    from anomalib.models import AnomalibModule
    from jsonargparse import ActionConfigFile
    from jsonargparse import ArgumentParser as TypedParser

    from anomalib_cops.host.command_line import hand_checkpoint_to_model
    from anomalib_cops.registry import MODELS

    parser = TypedParser(prog=PROGRAM, description=DESCRIPTION)
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with these arguments")
    parser.add_subclass_arguments(AnomalibModule, "model", required=True, fail_untyped=False)
    parser.add_argument("--ckpt_path", type=str | None, default=None, help="checkpoint, instead of --model.weights")
    _add_options(parser, is_typed=True)
    given = parser.parse_args(words)
    hand_checkpoint_to_model(given)
    name = given.model.class_path.rpartition(".")[2]
    if name not in MODELS or not given.model.class_path.startswith("anomalib_cops."):
        raise InputError(f"{name} is none of the models of anomalib-cops; score with {', '.join(MODELS)}.")
    return _arguments(given, name, _changed(MODELS[name].lightning_class, given.model.init_args.as_dict()))


def _changed(model: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a model's constructor that are not the defaults.

    Raises:
        InputError: an argument cannot be handed on to other processes, or is known by another name here.
    """
    defaults = inspect.signature(model).parameters
    changed = {name: value for name, value in values.items() if value != defaults[name].default}
    for name, value in changed.items():
        if isinstance(value, dict) and "class_path" in value:
            raise InputError(f"--model.{name} cannot be replaced here; leave it out.")
    if "references" in changed:  # how CoPS uses them, not which they are
        raise InputError(
            "--model.references cannot be given here, where --references names good images; use weights that were "
            "trained with it."
        )
    return changed


def _add_options(parser: Any, is_typed: bool) -> None:
    parser.add_argument("source", metavar="FOLDER", help="folder, image, .txt list of paths, archive, or address")
    for option in OPTIONS:
        # jsonargparse checks defaults against the type, argparse calls it.
        kind = option.type | None if is_typed else option.type
        parser.add_argument(
            option.name, type=kind, default=option.default, required=option.is_required, help=option.help
        )
    parser.add_argument("--retry_errors", action="store_true", help="score images again whose row has an error")
    parser.add_argument(
        "--ray", nargs="?", const="", metavar="ADDRESS", help="use a Ray cluster; without ADDRESS, one on this machine"
    )


def _arguments(given: Namespace, model: str, model_arguments: dict[str, Any] | None = None) -> Arguments:
    names = ["source", "retry_errors", "ray", *(option.name.removeprefix("--") for option in OPTIONS)]
    return Arguments({name: getattr(given, name) for name in names}, model, model_arguments or {})


def _value_of(words: Sequence[str], name: str) -> str | None:
    """Return the last value that the command line gives to an argument."""
    found = None
    for position, word in enumerate(words):
        if word == name and position + 1 < len(words):
            found = words[position + 1]
        elif word.startswith(f"{name}="):
            found = word.partition("=")[2]
    return found


def path_of(value: str | None) -> Path | None:
    """Return a path that may begin with the home folder; None for None."""
    return None if value is None else Path(value).expanduser()
