"""Make tables of figures at a fixed threshold, which are not ranked: each of a pair can be bought by the other."""

from collections.abc import Callable, Sequence

from .board import Board, BoardRow, Figure
from .figure_table import HOLE, Entry, FigureTable, figure_text

LABELS = {"false_alarm_rate": "false alarms", "recall": "recall"}
THRESHOLD_NOTE = (
    "False alarms: share of good images that are labelled anomalous; recall: share of anomalous ones. The threshold is "
    "the model's own: calibrated on the references for 5 % false alarms where there are two or more, found in training "
    "where there are none; a single reference gives none."
)


def at_threshold(board: Board, figures: Sequence[str]) -> FigureTable:
    """Make a table with a row per method or baseline, a column per target, and the mean over targets."""
    targets = [target for target in board.targets if any(board.has_metric(target, name) for name in figures)]

    def figure(row: BoardRow, column: str, name: str) -> Figure | None:
        return row.figure(column, name) if column else row.figure_over(board.targets_with(name), name)

    return _table(f"At a fixed threshold: {in_words(figures)}, mean over categories", board, figures, targets, figure)


def at_threshold_by_category(board: Board, target: str, figures: Sequence[str]) -> FigureTable:
    """Make a table of one target with a row per method or baseline, a column per category, and the mean over them."""
    title = f"At a fixed threshold on {target}: {in_words(figures)}"
    return _table(
        title, board, figures, board.categories(target), lambda row, column, name: row.figure(target, name, column)
    )


def _table(
    title: str,
    board: Board,
    names: Sequence[str],
    columns: Sequence[str],
    figure: Callable[[BoardRow, str, str], Figure | None],
) -> FigureTable:
    """Make a table of which each entry holds all figures of a method in a column.

    Args:
        title: Title of the table.
        board: Board whose methods and baselines are shown.
        names: Names of the figures.
        columns: Targets or categories.
        figure: Returns a figure of a row in a column; in the column with the empty name that of all together.
    """
    # The empty name is that of the mean.
    shown = [*columns, ""] if len(columns) > 1 else columns
    lines = []
    for row in board.with_role("method", "baseline"):
        found = [[figure(row, column, name) for name in names] for column in shown]
        if any(each is not None for entry in found for each in entry):
            lines.append([Entry(row.method), *(Entry(joined(entry)) for entry in found)])
    return FigureTable(title, ["method", *(column or "mean" for column in shown)], lines, [THRESHOLD_NOTE])


def joined(figures: Sequence[Figure | None]) -> str:
    """Write figures one after the other; a hole where there is none at all."""
    if all(each is None for each in figures):
        return HOLE
    return " / ".join(HOLE if each is None else figure_text(each) for each in figures)


def in_words(figures: Sequence[str]) -> str:
    """Name figures as tables do."""
    return " / ".join(LABELS[name] for name in figures)
