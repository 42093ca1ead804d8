"""Command lines of ours that take a model as anomalib's commands do."""

from collections.abc import Sequence
from pathlib import Path

from anomalib.models import AnomalibModule
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace

from anomalib_cops.errors import InputError
from anomalib_cops.host.command_line import hand_checkpoint_to_model, instantiate


def model_parser(program: str, description: str) -> ArgumentParser:
    """Make the parser of such a command; it has the arguments of the model."""
    made = ArgumentParser(prog=program, description=description)
    made.add_argument("--config", action=ActionConfigFile, help="YAML file with these arguments")
    made.add_subclass_arguments(AnomalibModule, "model", required=True, fail_untyped=False)
    made.add_argument("--ckpt_path", type=str | None, default=None, help="checkpoint, instead of --model.weights")
    return made


def parse_model(parser: ArgumentParser, arguments: Sequence[str] | None) -> Namespace:
    """Parse such a command line; ``parser.instantiate_classes`` makes the model of the result."""
    given = parser.parse_args(arguments)
    hand_checkpoint_to_model(given)
    parser.add_instantiator(instantiate, AnomalibModule)  # type: ignore[arg-type, type-abstract]
    return given


def output_path(value: str, suffix: str) -> Path:
    """Return the path that ``--output`` names.

    Raises:
        InputError: it does not end in ``suffix``.
    """
    output = Path(value).expanduser()
    if output.suffix != suffix:
        raise InputError(f"--output {output} has to end in {suffix}; give {output.with_suffix(suffix)}.")
    return output
