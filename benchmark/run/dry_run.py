"""``run --dry-run``: the plan, what is there already, and how long the rest will take."""

from collections.abc import Sequence
from statistics import median

from rich.console import Console
from rich.table import Table

from anomalib_cops.errors import InputError

from ..plan.cells import Cell
from ..records.store import Store
from .progress import duration
from .work import Runner


def print_plan(
    cells: Sequence[Cell],
    store: Store,
    runner: Runner,
    notices: Sequence[str] = (),
    console: Console | None = None,
) -> None:
    """Print one line per cell, and what else there is to know; nothing is written, and no network is asked."""
    console = console or Console()
    table = Table("method", "backbone", "source → target", "seed", "categories", "state")
    pace = Pace(cells, store)
    total, missing, seconds = 0, 0, 0.0
    untrained: set[str] = set()
    for cell in cells:
        training = cell.training
        row = [cell.method, training.backbone, f"{training.source_name} → {cell.target_name}", str(training.seed)]
        try:
            digests = runner.survey(cell)
        except InputError as error:
            table.add_row(*row, "?", str(error))
            continue
        known = store.read(cell).categories
        left = [name for name, digest in digests.items() if name not in known or known[name].images != digest]
        total, missing = total + len(digests), missing + len(left)
        seconds += pace.test(cell) * len(left)
        is_new = training.fingerprint not in untrained and not training.is_ready
        if left and is_new and store.training(training) is None:
            untrained.add(training.fingerprint)
            seconds += pace.train(cell)
        state = "done" if not left else "missing" if len(left) == len(digests) else f"{len(left)} missing"
        if unusable := sum(not digest for digest in digests.values()):
            state += f", {unusable} unusable"
        table.add_row(*row, str(len(digests)), state)
    console.print(table)
    for notice in (*store.notices, *notices):
        console.print(notice, highlight=False, markup=False)
    console.print(
        f"{len(cells)} cells, {total} categories, {missing} of them missing, {len(untrained)} trainings; "
        f"about {duration(seconds)} ({pace.basis}).",
        highlight=False,
        soft_wrap=True,
    )


class Pace:
    """How long things take, from what was measured in this folder; else a rough guess."""

    # Seconds per category and per training, of a tiny and of a large backbone on a processor.
    GUESS = {True: (4.0, 40.0), False: (600.0, 20000.0)}

    def __init__(self, cells: Sequence[Cell], store: Store) -> None:
        self._tests: dict[tuple[str, str], list[float]] = {}
        self._trainings: dict[tuple[str, str], list[float]] = {}
        for result in (store.read(cell) for cell in cells):
            key = (result.method, result.backbone)
            self._tests.setdefault(key, []).extend(each.total_seconds for each in result.categories.values())
            if result.training is not None and result.categories:
                self._trainings.setdefault(key, []).append(result.training.seconds)
        measured = any(self._tests.values())
        self.basis = "from what was measured in this folder" if measured else "a rough guess, nothing is measured yet"

    def test(self, cell: Cell) -> float:
        """Seconds per category."""
        return self._typical(self._tests, cell, 0)

    def train(self, cell: Cell) -> float:
        """Seconds per training."""
        return self._typical(self._trainings, cell, 1)

    def _typical(self, measured: dict[tuple[str, str], list[float]], cell: Cell, place: int) -> float:
        """Of this method, else of all methods with its backbone, else the guess."""
        backbone = cell.training.backbone
        own = measured.get((cell.method, backbone), [])
        alike = [value for key, values in measured.items() if key[1] == backbone for value in values]
        return median(own or alike) if own or alike else self.GUESS[backbone == "tiny"][place]
