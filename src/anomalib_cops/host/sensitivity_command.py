"""``anomalib-cops sensitivity``: a table of the blocks that 8-bit integers would hurt."""

from collections.abc import Sequence

from jsonargparse import ArgumentParser
from pandas import DataFrame

from anomalib_cops.data.good_images import list_images
from anomalib_cops.errors import InputError, exit_code
from anomalib_cops.files import write_text
from anomalib_cops.host.model_parser import model_parser, output_path, parse_model
from anomalib_cops.host.sensitivity import measure_sensitivity

PROGRAM = "anomalib-cops sensitivity"
DESCRIPTION = """Round the products of one block of the frozen towers after the other to 8-bit integers, and print what
that does to scores. Exports leave blocks in float32 that --model.float_blocks names."""
MOST_IMAGES = 50
SENSITIVE = 3
"""A block whose scores change by so many times the median of all blocks should stay in float32."""


def parser() -> ArgumentParser:
    """Make the parser of the command line."""
    made = model_parser(PROGRAM, DESCRIPTION)
    made.add_argument("--data", type=str, required=True, help=f"folder of images; the first {MOST_IMAGES} are used")
    made.add_argument("--output", type=str, required=True, help="table to write, *.csv")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(lambda: run(arguments))


def run(arguments: Sequence[str] | None = None) -> None:
    """Measure all blocks, write the table, and print it.

    Raises:
        InputError: an argument cannot be used.
    """
    command = parser()
    given = parse_model(command, arguments)
    output = output_path(given.output, ".csv")
    paths = list_images(given.data, "images to measure with")[:MOST_IMAGES]
    model = command.instantiate_classes(given).model
    if not getattr(model, "has_trained_weights", False):
        raise InputError(f"{type(model).__name__} has no trained weights, so its scores mean nothing; give weights.")
    table = DataFrame(measure_sensitivity(model, paths))
    write_text(output, table.to_csv(index=False))
    print(table.to_string(index=False, float_format="{:.5f}".format))
    used = table[table["mean_score"] > 0]
    sensitive = list(used.loc[used["mean_score"] > SENSITIVE * used["mean_score"].median(), "block"])
    advice = f"export with --model.float_blocks [{','.join(sensitive)}]" if sensitive else "no block stands out"
    print(f"{len(paths)} images; {advice}")
