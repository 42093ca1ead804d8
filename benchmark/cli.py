"""The command line: ``python -m benchmark``, installed as ``cops-benchmark``."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from jsonargparse import ArgumentParser

from anomalib_cops.errors import exit_code

# Every command is a module with ``arguments()``, its parser, and ``main(options)``, which returns the exit code.
COMMANDS = {
    "run": ("run.command", "train and test what is missing of a matrix"),
    "table": ("report.table_command", "make tables of results"),
    "report": ("report.page_command", "make one HTML page of results"),
    "speed": ("speed.command", "measure time, memory and growth"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0 if all is well, 1 if cells failed or tables are stale, 2 for bad input, 130 after Ctrl-C.
    """
    try:
        modules = {name: import_module(f".{home}", __package__) for name, (home, _) in COMMANDS.items()}
    except ModuleNotFoundError as error:
        print(f"error: the benchmark needs {error.name}: pip install 'anomalib-cops[benchmark]'", file=sys.stderr)
        return 2
    parser = ArgumentParser(prog=_program(), description="The leaderboard: from folders to comparison tables.")
    commands = parser.add_subcommands(dest="command")
    for name, (_, purpose) in COMMANDS.items():
        commands.add_subcommand(name, modules[name].arguments(), help=purpose)
    options = parser.parse_args(arguments)
    return exit_code(lambda: modules[options.command].main(options[options.command]))


def _program() -> str:
    """How the command was called, for its help and for hints."""
    name = Path(sys.argv[0]).name
    return "cops-benchmark" if name.startswith("cops-benchmark") else "python -m benchmark"
