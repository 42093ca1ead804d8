"""Make ranked tables of one metric: methods and baselines by target, or by category."""

from collections.abc import Callable, Sequence
from statistics import fmean

from .board import Board, BoardRow, Figure, ranks
from .figure_table import HOLE, Entry, FigureTable, figure_text, percent


def overview(board: Board, metric: str) -> FigureTable:
    """Make a table with a row per method or baseline and a column per target, the mean over targets, and the rank."""
    return _ranked(
        f"{metric}, mean over categories",
        board.with_role("method", "baseline"),
        [target for target in board.targets if board.has_metric(target, metric)],
        lambda row, target: row.figure(target, metric),
        lambda row, target: row.hole(target),
    )


def by_category(board: Board, target: str, metric: str) -> FigureTable:
    """Make a table of one target with a row per method or baseline and a column per category."""
    return _ranked(
        f"{metric} on {target}",
        board.with_role("method", "baseline"),
        board.categories(target),
        lambda row, category: row.figure(target, metric, category),
        lambda row, category: row.hole(target),
    )


def _ranked(
    title: str,
    rows: Sequence[BoardRow],
    columns: Sequence[str],
    figure: Callable[[BoardRow, str], Figure | None],
    hole: Callable[[BoardRow, str], str],
) -> FigureTable:
    """Make a table that is ranked by the mean over its columns.

    Args:
        title: Title of the table.
        rows: Rows of the board.
        columns: Targets or categories.
        figure: Returns the figure of a row in a column.
        hole: Says why a row has no figure in a column.
    """
    figures = [[figure(row, column) for column in columns] for row in rows]
    means = [_mean(line) for line in figures]
    places = [ranks([_rounded(line[index]) for line in figures]) for index in range(len(columns))]
    mean_places = ranks([None if mean is None else round(mean, 3) for mean in means])
    lines = []
    for number, (row, line) in enumerate(zip(rows, figures, strict=True)):
        entries = [Entry(row.method), Entry(", ".join(row.sources()))]
        for index, each in enumerate(line):
            text = figure_text(each) if each is not None else hole(row, columns[index]) or HOLE
            entries.append(Entry(text, places[index][number] or 0))
        mean, rank = means[number], mean_places[number]
        if len(columns) > 1:
            entries.append(Entry(HOLE if mean is None else percent(mean), rank or 0))
        lines.append([*entries, Entry(HOLE if rank is None else str(rank))])
    summary = ["mean", "rank"] if len(columns) > 1 else ["rank"]
    return FigureTable(title, ["method", "trained on", *columns, *summary], lines)


def _mean(figures: Sequence[Figure | None]) -> float | None:
    """Return the mean; None if a figure is missing or there is none."""
    present = [each.mean for each in figures if each is not None]
    return fmean(present) if present and len(present) == len(figures) else None


def _rounded(figure: Figure | None) -> float | None:
    """Round a mean as it is printed, so that figures that look equal share a rank."""
    return None if figure is None else round(figure.mean, 3)
