"""Compare methods by the number of references that they were given."""

from collections.abc import Sequence
from typing import Any

from ..plan.reference_draw import shots_text
from ..records.result import AT_THRESHOLD
from .board import Board, BoardRow, Figure, ranks
from .figure_table import HOLE, Entry, FigureTable, figure_text
from .threshold_tables import THRESHOLD_NOTE, in_words, joined

SHOT_METRICS = ("I-AUROC", "P-AUROC")
"""Metrics that have a table by the number of references."""
NOTE = (
    "Mean ± sample standard deviation over draws of references. In a draw, all columns were tested on the same images."
)


class ShotBoards:
    """All boards of one backbone whose results have a number of references.

    Args:
        boards: Boards of any backbones.
        backbone: The backbone.
    """

    def __init__(self, boards: Sequence[Board], backbone: str) -> None:
        self.boards = {board.shots: board for board in boards if board.backbone == backbone and board.shots is not None}
        rows = {row.method: row for board in self.boards.values() for row in board.rows}
        self.methods = [row.method for row in sorted(rows.values(), key=lambda row: row.sort_key)]
        self.roles = {name: row.role for name, row in rows.items()}
        self.ranked_methods = [name for name in self.methods if self.roles[name] != "ablation"]
        self.targets = list(dict.fromkeys(target for board in self.boards.values() for target in board.targets))

    def __bool__(self) -> bool:
        """Whether there is something to compare."""
        return len(self.boards) > 1

    @property
    def header(self) -> list[str]:
        """Names of the columns: the method, and each number of references."""
        return ["method", *(shots_text(shots) for shots in self.boards)]

    def targets_with(self, metric: str) -> list[str]:
        """List the targets that have a metric with any number of references."""
        return [
            target for target in self.targets if any(board.has_metric(target, metric) for board in self.boards.values())
        ]

    def row(self, shots: int, method: str) -> BoardRow | None:
        """Return the row of a method with a number of references."""
        return next((row for row in self.boards[shots].rows if row.method == method), None)

    def figure(self, shots: int, method: str, metric: str, target: str = "") -> Figure | None:
        """Return a figure of a method with a number of references, by default its mean over all targets."""
        row = self.row(shots, method)
        if row is None:
            return None
        return row.figure(target, metric) if target else row.figure_over(self.targets_with(metric), metric)

    def hole(self, shots: int, method: str, target: str) -> str:
        """Say why a method has no figure on a target, or nothing in particular of the mean over targets."""
        row = self.row(shots, method)
        return HOLE if row is None or not target else row.hole(target) or HOLE

    def with_too_few(self) -> list[str]:
        """Say which categories had fewer references than asked for, and how many."""
        fewer: dict[str, int] = {}
        for shots, board in self.boards.items():
            for row in board.rows:
                for result in row.all_results:
                    for name, each in result.categories.items():
                        if each.references is not None and each.references < shots:
                            fewer[f"{result.target}/{name}"] = each.references
        return [f"{name} {count}" for name, count in sorted(fewer.items())]


def shot_tables(boards: Sequence[Board], backbone: str, metrics: Sequence[str], per_target: bool) -> list[FigureTable]:
    """Make tables with a row per method and a column per number of references.

    Args:
        boards: Boards of any backbones.
        backbone: The backbone whose boards are compared.
        metrics: Metrics to show, of which those in ``SHOT_METRICS`` have such tables.
        per_target: Add a table per target to that of the mean over all of them.
    """
    compared = ShotBoards(boards, backbone)
    shown = [metric for metric in SHOT_METRICS if metric in metrics and compared.targets_with(metric)]
    if not compared:
        return []
    tables = [_table(compared, metric) for metric in shown]
    fixed = [name for name in AT_THRESHOLD if name in metrics and compared.targets_with(name)]
    tables += [_threshold_table(compared, fixed)] if fixed else []
    for target in compared.targets if per_target else ():
        tables += [_table(compared, metric, target) for metric in shown if target in compared.targets_with(metric)]
    return tables


def shot_data(boards: Sequence[Board], backbone: str, metrics: Sequence[str]) -> dict[str, Any] | None:
    """Collect the means over targets by the number of references for a chart; None if there is nothing to compare."""
    compared = ShotBoards(boards, backbone)
    if not compared:
        return None
    figures: dict[str, dict[str, list[list[float | None] | None]]] = {}
    for metric in metrics:
        for method in compared.methods:
            line = [_pair(compared.figure(shots, method, metric)) for shots in compared.boards]
            figures.setdefault(metric, {})[method] = line
    methods = [{"method": name, "role": compared.roles[name]} for name in compared.methods]
    return {"shots": list(compared.boards), "methods": methods, "figures": figures}


def _table(compared: ShotBoards, metric: str, target: str = "") -> FigureTable:
    """Make a table of one metric, with the best of each column marked."""
    methods = compared.ranked_methods
    lines = [[Entry(name)] for name in methods]
    for shots in compared.boards:
        column = [compared.figure(shots, name, metric, target) for name in methods]
        places = ranks([None if each is None else round(each.mean, 3) for each in column])
        for line, name, figure, place in zip(lines, methods, column, places, strict=True):
            hole = compared.hole(shots, name, target)
            line.append(Entry(hole if figure is None else figure_text(figure), place or 0))
    notes = [NOTE]
    if few := [each for each in compared.with_too_few() if each.startswith(f"{target}/" if target else "")]:
        notes.append(f"Fewer references, as half of the normal images are tested: {', '.join(few)}.")
    where = f"on {target}" if target else "mean over data sets"
    return FigureTable(f"{metric} by number of references, {where}", compared.header, lines, notes)


def _threshold_table(compared: ShotBoards, names: Sequence[str]) -> FigureTable:
    """Make a table of the figures at a fixed threshold; methods without a threshold have no row."""
    lines = []
    for method in compared.ranked_methods:
        texts = [joined([compared.figure(shots, method, name) for name in names]) for shots in compared.boards]
        if any(text != HOLE for text in texts):
            lines.append([Entry(text) for text in (method, *texts)])
    title = f"At a fixed threshold by number of references: {in_words(names)}, mean over data sets"
    return FigureTable(title, compared.header, lines, [THRESHOLD_NOTE])


def _pair(figure: Figure | None) -> list[float | None] | None:
    return None if figure is None else [round(figure.mean, 5), figure.deviation]
