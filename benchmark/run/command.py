"""``run``: from a configuration to result files."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from anomalib_cops.errors import InputError, nearest

from ..plan.cells import Cell
from ..plan.matrix import built_in, read_matrix
from ..provenance import provenance
from ..quiet import quiet
from ..records.store import Store
from .dry_run import print_plan
from .executors import EXECUTORS, make_executor
from .progress import RunProgress
from .schedule import Outcome, Schedule

DEFAULT_OUTPUT = Path("results/benchmark")
INTERRUPTED = 130
"""What shells give after Ctrl-C."""


def arguments() -> ArgumentParser:
    """The command's arguments."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("config", type=str, help=f"YAML file, or one of {', '.join(built_in())}")
    parser.add_argument("--root", type=Path | None, help="folder of data sets; quick tests whatever it finds there")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="folder of results; what is there is kept")
    parser.add_argument("--methods", type=list[str], default=[], help="only these rows of the matrix")
    parser.add_argument("--seeds", type=list[int], default=[], help="instead of the matrix's")
    parser.add_argument("--save-maps", action="store_true", help="keep all anomaly maps (float16, compressed)")
    parser.add_argument("--dry-run", action="store_true", help="print the plan, what is there, and an estimate of time")
    parser.add_argument("--executor", type=str, default="local", help=f"one of {', '.join(EXECUTORS)}")
    parser.add_argument("--ray-address", type=str | None, help="of a running Ray cluster; else Ray is started here")
    parser.add_argument("--cpus", type=int, default=1, help="processors per task under Ray")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs per task under Ray")
    return parser


def main(options: Namespace) -> int:
    """Run what is missing; see ``cli.main`` for the exit code."""
    matrix = read_matrix(options.config).only(options.methods, options.seeds)
    matrix.check()
    root = _root(options.root)
    executor = make_executor(options.executor, options.ray_address, options.cpus, options.gpus)
    # Only now, as importing torch and anomalib takes seconds: what is mistyped is told at once.
    with quiet():
        from anomalib_cops.data import discover

        from ..plan.ready import absent, fetch
        from .runner import ModelRunner

    wants_found = any(transfer.discover for transfer in matrix.transfers)
    found = discover(root) if root and wants_found else ()
    if root and wants_found and not found:
        raise InputError(f"there are no labelled data sets in {root}; see docs/data.md for how they are laid out.")
    runner = ModelRunner(root, options.save_maps, matrix.pictures)
    cells = runner.prepared(matrix.cells(root, found))
    if not cells:
        raise InputError(
            f"{options.config} finds nothing to test{f' in {root}' if root else ''}; give the folder of data sets that "
            "it can be tested on as --root."
        )
    for notice in runner.notices:
        print(notice, file=sys.stderr)
    if options.dry_run:
        print_plan(cells, Store(options.output, untouched=True), runner, absent([cell.training for cell in cells]))
        return 0
    ready = with_weights(cells, fetch([cell.training for cell in cells]))
    code = execute(Schedule(ready, Store(options.output), runner, executor, RunProgress(), provenance()))
    return code or int(len(ready) < len(cells))


def with_weights(cells: Sequence[Cell], problems: Mapping[str, Sequence[str]]) -> list[Cell]:
    """Leave out what cannot be run for lack of weights, and say so of every row.

    Args:
        cells: To be run.
        problems: Sentences about weights by the fingerprint of the training that needs them.

    Raises:
        InputError: Nothing is left.
    """
    rows: dict[str, dict[str, None]] = {}
    for cell in cells:
        for sentence in problems.get(cell.training.fingerprint, ()):
            rows.setdefault(sentence, {})[cell.method] = None
    for sentence, names in rows.items():
        print(f"cannot be run: {', '.join(names)}: {sentence}", file=sys.stderr)
    ready = [cell for cell in cells if cell.training.fingerprint not in problems]
    if not ready:
        raise InputError("nothing can be run without these weights; get them, or choose other rows by --methods.")
    return ready


def execute(schedule: Schedule) -> int:
    """Run a schedule and say how it went."""
    folder = schedule.store.folder
    try:
        with schedule.progress:
            outcome = schedule.run()
    except (KeyboardInterrupt, SystemExit):  # Lightning makes one of the other
        print(f"\ninterrupted; nothing that was written is lost. Go on with: {_same_command()}", file=sys.stderr)
        return INTERRUPTED
    print(_summary(outcome, folder))
    for failure in outcome.failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if outcome.failures else 0


def _summary(outcome: Outcome, folder: Path) -> str:
    failed = f", {len(outcome.failures)} failed" if outcome.failures else ""
    program = shlex.join(_program())
    return (
        f"{outcome.tested} categories tested{failed}; results are in {folder}\n"
        f"tables: {program} table --results {shlex.quote(str(folder))}\n"
        f"page:   {program} report --results {shlex.quote(str(folder))}"
    )


def _root(wanted: Path | None) -> Path | None:
    """The folder of data sets.

    Raises:
        InputError: It is not there.
    """
    if wanted is None:
        return None
    root = wanted.expanduser()
    if not root.is_dir():
        siblings = [each.name for each in root.parent.iterdir() if each.is_dir()] if root.parent.is_dir() else []
        hint = nearest(root.name, siblings) if siblings else ""
        raise InputError(f"there is no folder {root}{hint or '; give the folder of your data sets as --root.'}")
    return root


def _program() -> list[str]:
    name = Path(sys.argv[0]).name
    return ["python", "-m", "benchmark"] if name == "__main__.py" else [name]


def _same_command() -> str:
    return shlex.join([*_program(), *sys.argv[1:]])
