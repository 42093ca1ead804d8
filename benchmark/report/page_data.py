"""Collect what the page shows of one board as plain data: figures, times and provenance."""

from collections.abc import Sequence
from typing import Any

from .board import MEAN, Board, BoardRow
from .remarks import board_provenance, stand_in_label
from .reported import Reported
from .shot_tables import shot_data
from .tables import mean_over_targets


def board_data(board: Board, boards: Sequence[Board], reported: Reported) -> dict[str, Any]:
    """Collect everything about a board but its pictures.

    Args:
        board: The board.
        boards: All boards, for what is compared between numbers of references.
        reported: Figures of the papers.
    """
    by_shots = shot_data(boards, board.backbone, board.metrics) if board.shots is not None else None
    # A method has the same colour with every number of references.
    colours = [each["method"] for each in by_shots["methods"]] if by_shots else [row.method for row in board.rows]
    return {
        "backbone": board.name,
        "label": stand_in_label(board.backbone),
        "metrics": board.metrics,
        "targets": [{"name": name, "categories": board.categories(name)} for name in board.targets],
        "thresholds": board.threshold_figures,
        "by_shots": by_shots,
        "rows": [{**_row(board, row, reported), "colour": colours.index(row.method)} for row in board.rows],
        "failures": board.failures(),
        "unlike": board.incomparable_targets(),
        "provenance": [{"text": text, "run": run} for text, run in board_provenance(board)],
    }


def _row(board: Board, row: BoardRow, reported: Reported) -> dict[str, Any]:
    return {
        "method": row.method,
        "model": row.model,
        "role": row.role,
        "sources": row.sources(),
        "means": {name: mean_over_targets(board, row, name) for name in (*board.metrics, *board.threshold_figures)},
        "targets": {target: _target(board, row, target, reported) for target in board.targets},
        "milliseconds": _milliseconds(row),
        "training_seconds": _training_seconds(row),
        "settings": [result.settings for result in row.all_results][:1],
    }


def _target(board: Board, row: BoardRow, target: str, reported: Reported) -> dict[str, Any]:
    is_comparable = board.backbone == reported.backbone and board.shots is None and row.role == "method"
    figures: dict[str, dict[str, Any]] = {}
    for metric in (*board.metrics, *board.threshold_figures):
        for category in (MEAN, *board.categories(target)):
            figure = row.figure(target, metric, category)
            if figure is not None:
                figures.setdefault(category, {})[metric] = [round(figure.mean, 5), figure.deviation]
    return {
        "figures": figures,
        "hole": row.hole(target),
        "paper": {metric: value for metric, value, _ in reported.figures(row.model, target)} if is_comparable else {},
    }


def _milliseconds(row: BoardRow) -> float | None:
    """Return the milliseconds that the model takes per image, over everything that was tested."""
    tested = [each for result in row.all_results for each in result.categories.values()]
    images = sum(each.count for each in tested)
    return 1000 * sum(each.seconds for each in tested) / images if images else None


def _training_seconds(row: BoardRow) -> float | None:
    """Return the seconds of the longest training."""
    return max((result.training.seconds for result in row.all_results if result.training is not None), default=None)
