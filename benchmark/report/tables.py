"""Make the other tables: ablations, figures beside the papers', and what the papers report."""

from collections.abc import Sequence
from statistics import fmean

from ..records.result import AT_THRESHOLD
from .board import Board, BoardRow
from .figure_table import HOLE, Entry, FigureTable, figure_text, percent
from .ranked_tables import by_category, overview
from .reported import Reported
from .threshold_tables import at_threshold, at_threshold_by_category


def all_tables(board: Board, reported: Reported, metrics: Sequence[str], categories: bool) -> list[FigureTable]:
    """Make all tables of a board.

    Args:
        board: The board.
        reported: Figures of the papers.
        metrics: Metrics to show.
        categories: Add a table per target and metric with a column per category.
    """
    ranked = [metric for metric in metrics if metric not in AT_THRESHOLD]
    fixed = [metric for metric in metrics if metric in AT_THRESHOLD]
    tables = [overview(board, metric) for metric in ranked]
    if fixed:
        tables.append(at_threshold(board, fixed))
    ablated = ablation(board, ranked)
    tables += [ablated] if ablated else []
    for target in board.targets if categories else ():
        if len(board.categories(target)) > 1:
            tables += [by_category(board, target, metric) for metric in ranked if board.has_metric(target, metric)]
            if any(board.has_metric(target, metric) for metric in fixed):
                tables.append(at_threshold_by_category(board, target, fixed))
    return tables + beside_papers(board, reported)


def ablation(board: Board, metrics: Sequence[str]) -> FigureTable | None:
    """Compare ablations with the whole method: means over targets and differences; None if there are no ablations."""
    ablated = board.with_role("ablation")
    models = {each.model for each in ablated}
    whole = [row for row in board.with_role("method", "baseline") if row.model in models]
    if not ablated or not whole:
        return None
    lines = []
    for row in [*whole, *ablated]:
        full = next(each for each in whole if each.model == row.model)
        lines.append([Entry(row.method), *(Entry(_difference(board, row, full, metric)) for metric in metrics)])
    return FigureTable(
        "Ablation, mean over data sets",
        ["row", *metrics],
        lines,
        ["In brackets: difference from the whole method, in points."],
    )


def mean_over_targets(board: Board, row: BoardRow, metric: str) -> float | None:
    """Return the mean over all targets that have the metric; None if the row has no figure of one of them."""
    figures = [row.figure(target, metric) for target in board.targets_with(metric)]
    present = [figure.mean for figure in figures if figure is not None]
    return fmean(present) if present and len(present) == len(figures) else None


def beside_papers(board: Board, reported: Reported) -> list[FigureTable]:
    """Compare each method with its paper: both figures and the difference.

    Only if the backbone is the papers', and no images were left out for references.
    """
    tables: list[FigureTable] = []
    if board.backbone != reported.backbone or board.shots is not None:
        return tables
    for row in board.with_role("method"):
        lines = []
        for target in board.targets:
            for metric, paper, mark in reported.figures(row.model, target):
                figure = row.figure(target, metric)
                if figure is not None:
                    difference = 100 * figure.mean - paper
                    texts = (target, metric, f"{paper:.1f}{mark}", figure_text(figure), f"{difference:+.1f}")
                    lines.append([Entry(text) for text in texts])
        if lines:
            header = ["data set", "metric", "paper", "ours", "difference"]
            tables.append(FigureTable(f"{row.method} beside its paper", header, lines, [reported.note(row.model)]))
    return tables


def published(reported: Reported, metric: str) -> FigureTable:
    """Show what the papers report: a row per data set, a column per method."""
    models = [model for model in reported.models if reported.targets(model, metric)]
    targets = list(dict.fromkeys(target for model in models for target in reported.targets(model, metric)))
    lines = [[target, *(reported.text(model, target, metric) or HOLE for model in models)] for target in targets]
    rows = [[Entry(text) for text in line] for line in lines]
    return FigureTable(f"{metric} as published", ["data set", *models], rows)


def _difference(board: Board, row: BoardRow, full: BoardRow, metric: str) -> str:
    """Write the mean of a row, with its difference from the whole method unless the row is that."""
    mean = mean_over_targets(board, row, metric)
    if mean is None:
        return HOLE
    whole = mean_over_targets(board, full, metric)
    return percent(mean) if row is full or whole is None else f"{percent(mean)} ({100 * (mean - whole):+.1f})"
