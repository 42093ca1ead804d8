"""Compare the backbones that the same method ran with: the only tables in which figures of several backbones meet."""

from collections.abc import Sequence

from ..plan.reference_draw import shots_text
from .board import Board, BoardRow
from .figure_table import HOLE, Entry, FigureTable
from .remarks import stand_in_label
from .threshold_tables import joined

HEADING = "Same method, all backbones"
NOTE = (
    "Rows differ in the backbone and its weights: a column compares backbones, and nothing here ranks methods. Each "
    "method has its mean over all data sets that it was tested on with any of the backbones."
)
COMPARED_METRICS = ("I-AUROC", "P-AUROC")
"""Metrics that these tables show."""


def same_method_tables(boards: Sequence[Board], metrics: Sequence[str]) -> list[FigureTable]:
    """Make a table per number of references, with a row per backbone and a column per method.

    Args:
        boards: Boards of all backbones and numbers of references.
        metrics: Metrics to show, of which those in ``COMPARED_METRICS`` are in the tables.

    Returns:
        The tables; none where no method ran with several backbones.
    """
    tables = []
    for shots in dict.fromkeys(board.shots for board in boards):
        columns = _columns([board for board in boards if board.shots == shots])
        shown = [
            metric
            for metric in COMPARED_METRICS
            if metric in metrics and any(column.targets_with(metric) for column in columns)
        ]
        if shown:
            tables.append(_table(columns, shown))
    return tables


def have_same_method(boards: Sequence[Board]) -> bool:
    """Return whether a method ran with several backbones."""
    return bool(same_method_tables(boards, COMPARED_METRICS))


def _columns(boards: Sequence[Board]) -> list[Board]:
    """Return a board per method or baseline that ran with several backbones, which holds its rows with all of them.

    Args:
        boards: Boards with the same number of references.
    """
    by_method: dict[tuple[str, str], list[BoardRow]] = {}
    for board in boards:
        for row in board.with_role("method", "baseline"):
            by_method.setdefault((row.method, row.model), []).append(row)
    shared = sorted((rows for rows in by_method.values() if len(rows) > 1), key=lambda rows: rows[0].sort_key)
    return [Board(HEADING, rows, boards[0].shots) for rows in shared]


def _table(columns: Sequence[Board], metrics: Sequence[str]) -> FigureTable:
    backbones = sorted({row.backbone for column in columns for row in column.rows})
    lines = [[Entry(name), *(Entry(_text(column, name, metrics)) for column in columns)] for name in backbones]
    shots = columns[0].shots
    notes = [NOTE, *(sentence for column in columns for sentence in _differences(column))]
    notes += [f"{label[0].upper()}{label[1:]}." for label in dict.fromkeys(map(stand_in_label, backbones)) if label]
    return FigureTable(
        f"{' / '.join(metrics)}, mean over data sets" + ("" if shots is None else f", {shots_text(shots)}"),
        ["backbone", *(_method(column) for column in columns)],
        lines,
        notes,
    )


def _text(column: Board, backbone: str, metrics: Sequence[str]) -> str:
    """Write the means of a method with one backbone."""
    row = next((each for each in column.rows if each.backbone == backbone), None)
    if row is None:
        return HOLE
    return joined([row.figure_over(column.targets_with(metric), metric) for metric in metrics])


def _differences(column: Board) -> list[str]:
    """List what differs between the rows of a method besides the backbone."""
    sentences = []
    if targets := column.incomparable_targets():
        sentences.append(f"{_method(column)} saw different images of {', '.join(targets)} with different backbones.")
    if len({tuple(row.sources()) for row in column.rows}) > 1:
        sentences.append(f"{_method(column)} was trained on different sets with different backbones.")
    return sentences


def _method(column: Board) -> str:
    return column.rows[0].method
