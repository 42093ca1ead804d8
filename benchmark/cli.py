"""Parse the command line and run the command that it names."""

import sys
from collections.abc import Sequence
from importlib import import_module

from jsonargparse import ArgumentParser

from anomalib_cops.errors import exit_code

from .program import program

# Each module has ``arguments()``, which makes a parser, and ``main(options)``, which returns the exit code.
COMMANDS = {
    "run": ("run.command", "train and test what is missing of a matrix"),
    "table": ("report.table_command", "make tables of results"),
    "report": ("report.page_command", "make one HTML page of results"),
    "speed": ("speed.command", "measure time, memory and growth"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0 on success, 1 if cells failed or tables are stale, 2 for bad input, 130 after Ctrl-C.
    """
    try:
        modules = {name: import_module(f".{module}", __package__) for name, (module, _) in COMMANDS.items()}
    except ModuleNotFoundError as error:
        print(f"error: the benchmark needs {error.name}: pip install 'anomalib-cops[benchmark]'", file=sys.stderr)
        return 2
    parser = ArgumentParser(prog=" ".join(program()), description="The leaderboard: from folders to comparison tables.")
    commands = parser.add_subcommands(dest="command")
    for name, (_, purpose) in COMMANDS.items():
        commands.add_subcommand(name, modules[name].arguments(), help=purpose)
    options = parser.parse_args(arguments)
    return exit_code(lambda: modules[options.command].main(options[options.command]))
