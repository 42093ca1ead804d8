"""Run what is missing of a benchmark: from a configuration to result files."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from anomalib_cops.errors import InputError, nearest

from ..plan.cells import Cell
from ..plan.configuration import built_in, read_matrix
from ..program import program
from ..provenance import provenance
from ..quiet import quiet
from ..records.store import Store
from .dry_run import print_plan
from .executors import EXECUTORS, make_executor
from .progress import RunProgress
from .schedule import Outcome, Schedule

DEFAULT_OUTPUT = Path("results/benchmark")
INTERRUPTED = 130
"""Exit code that shells give after Ctrl-C."""


def arguments() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("config", type=str, help=f"YAML file, or one of {', '.join(built_in())}")
    parser.add_argument("--root", type=Path | None, help="folder of data sets; quick tests whatever it finds there")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="folder of results; what is there is kept")
    parser.add_argument("--methods", type=list[str], default=[], help="only these methods of the matrix")
    parser.add_argument("--seeds", type=list[int], default=[], help="these seeds instead of the matrix's")
    parser.add_argument("--draws", type=list[int], default=[], help="these draws of references instead of the matrix's")
    parser.add_argument("--save-maps", action="store_true", help="keep all anomaly maps (float16, compressed)")
    parser.add_argument("--dry-run", action="store_true", help="print the plan, what is there, and an estimate of time")
    parser.add_argument("--executor", type=str, default="local", help=f"one of {', '.join(EXECUTORS)}")
    parser.add_argument("--ray-address", type=str | None, help="running Ray cluster; without it, Ray is started here")
    parser.add_argument("--cpus", type=int, default=1, help="processors per task under Ray")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs per task under Ray")
    return parser


def main(options: Namespace) -> int:
    """Run what is missing; see ``cli.main`` for the exit code."""
    matrix = read_matrix(options.config).only(options.methods, options.seeds, options.draws)
    matrix.check()
    root = _root(options.root)
    executor = make_executor(options.executor, options.ray_address, options.cpus, options.gpus)
    # Import torch and anomalib, which takes seconds, only after typing errors have been reported.
    with quiet():
        from anomalib_cops.data import discover

        from ..plan.weight_files import fetch_weights, missing_weights
        from .runner import ModelRunner

    has_discovery = any(transfer.discover for transfer in matrix.transfers)
    discovered = discover(root) if root and has_discovery else ()
    if root and has_discovery and not discovered:
        raise InputError(f"there are no labelled data sets in {root}; see docs/data.md for how they are laid out.")
    runner = ModelRunner(root, options.save_maps, matrix.pictures)
    cells = runner.prepare(matrix.cells(root, discovered))
    if not cells:
        raise InputError(
            f"{options.config} finds nothing to test{f' in {root}' if root else ''}; give the folder of data sets that "
            "it can be tested on as --root."
        )
    for notice in runner.notices:
        print(notice, file=sys.stderr)
    trainings = [cell.training for cell in cells]
    if options.dry_run:
        print_plan(cells, Store(options.output, read_only=True), runner, missing_weights(trainings))
        return 0
    runnable = cells_with_weights(cells, fetch_weights(trainings))
    progress = RunProgress(names_backbones=matrix.backbones is not None)
    code = execute(Schedule(runnable, Store(options.output), runner, executor, progress, provenance()))
    return code or int(len(runnable) < len(cells))


def cells_with_weights(cells: Sequence[Cell], problems: Mapping[str, Sequence[str]]) -> list[Cell]:
    """Leave out cells whose weights could not be had, and say so of every method.

    Args:
        cells: Cells to run.
        problems: Sentences about weights by the fingerprint of the training that needs them.

    Raises:
        InputError: No cell is left.
    """
    methods: dict[str, dict[str, None]] = {}
    for cell in cells:
        for sentence in problems.get(cell.training.fingerprint, ()):
            methods.setdefault(sentence, {})[cell.method] = None
    for sentence, names in methods.items():
        print(f"cannot be run: {', '.join(names)}: {sentence}", file=sys.stderr)
    runnable = [cell for cell in cells if cell.training.fingerprint not in problems]
    if not runnable:
        raise InputError("nothing can be run without these weights; get them, or choose other methods by --methods.")
    return runnable


def execute(schedule: Schedule) -> int:
    """Run a schedule, say how it went, and return the exit code."""
    try:
        with schedule.progress:
            outcome = schedule.run()
    except (KeyboardInterrupt, SystemExit):  # Lightning turns the first into the second
        same_command = shlex.join([*program(), *sys.argv[1:]])
        print(f"\ninterrupted; nothing that was written is lost. Go on with: {same_command}", file=sys.stderr)
        return INTERRUPTED
    print(_summary(outcome, schedule.store.folder))
    for failure in outcome.failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if outcome.failures else 0


def _summary(outcome: Outcome, folder: Path) -> str:
    failed = f", {len(outcome.failures)} failed" if outcome.failures else ""
    command, results = shlex.join(program()), shlex.quote(str(folder))
    return (
        f"{outcome.tested} categories tested{failed}; results are in {folder}\n"
        f"tables: {command} table --results {results}\n"
        f"page:   {command} report --results {results}"
    )


def _root(folder: Path | None) -> Path | None:
    """Return the folder of data sets, if one is named.

    Raises:
        InputError: It is not there.
    """
    if folder is None:
        return None
    root = folder.expanduser()
    if not root.is_dir():
        siblings = [each.name for each in root.parent.iterdir() if each.is_dir()] if root.parent.is_dir() else []
        hint = nearest(root.name, siblings) if siblings else ""
        raise InputError(f"there is no folder {root}{hint or '; give the folder of your data sets as --root.'}")
    return root
