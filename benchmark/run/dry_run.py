"""Print the plan of a run, what is there already, and how long the rest will take: ``run --dry-run``."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from anomalib_cops.errors import InputError

from ..plan.cells import Cell
from ..records.store import Store
from .estimate import Estimate
from .progress import duration
from .protocols import Runner


def print_plan(
    cells: Sequence[Cell],
    store: Store,
    runner: Runner,
    notices: Sequence[str] = (),
    console: Console | None = None,
) -> None:
    """Print one line per cell and a summary; write nothing, and ask no network.

    Args:
        cells: Cells that a run would look at.
        store: Folder of results.
        runner: Lists the categories of cells.
        notices: Sentences to print below the table.
        console: Where to print; standard output by default.
    """
    console = console or Console()
    table = Table("method", "backbone", "source → target", "seed", "categories", "state")
    estimate = Estimate(cells, store)
    total, left, seconds = 0, 0, 0.0
    trainings: set[str] = set()
    for cell in cells:
        training = cell.training
        row = [cell.method, training.backbone, f"{training.source_name} → {cell.target_name}", cell.repetition]
        try:
            digests = runner.survey(cell)
        except InputError as error:
            table.add_row(*row, "?", str(error))
            continue
        missing = store.read(cell).pending(digests)
        total, left = total + len(digests), left + len(missing)
        seconds += estimate.test_seconds(cell) * len(missing)
        is_new = training.fingerprint not in trainings and training.learns_from_source
        if missing and is_new and store.training(training) is None:
            trainings.add(training.fingerprint)
            seconds += estimate.training_seconds(cell)
        table.add_row(*row, str(len(digests)), _state(digests, missing))
    console.print(table)
    for notice in (*store.notices, *notices):
        console.print(notice, highlight=False, markup=False)
    console.print(
        f"{len(cells)} cells, {total} categories, {left} of them missing, {len(trainings)} trainings; "
        f"about {duration(seconds)} ({estimate.basis}).",
        highlight=False,
        soft_wrap=True,
    )


def _state(digests: dict[str, str], missing: Sequence[str]) -> str:
    """Describe how much of a cell is done; categories with an empty digest cannot be used."""
    state = "done" if not missing else "missing" if len(missing) == len(digests) else f"{len(missing)} missing"
    unusable = sum(not digest for digest in digests.values())
    return f"{state}, {unusable} unusable" if unusable else state
