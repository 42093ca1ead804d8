"""What the page shows, as plain data: figures, times and provenance of one board."""

from typing import Any

from .leaderboard import MEAN, Board, Row
from .render import TINY, TINY_LABEL, board_provenance
from .reported import Reported
from .tables import mean_over_targets


def board_data(board: Board, reported: Reported) -> dict[str, Any]:
    """Everything about a board but its pictures."""
    return {
        "backbone": board.backbone,
        "label": TINY_LABEL if board.backbone == TINY else "",
        "metrics": board.metrics,
        "targets": [{"name": name, "categories": board.categories(name)} for name in board.targets],
        "rows": [_row(board, row, reported) for row in board.rows],
        "failures": board.failures(),
        "unlike": board.unlike(),
        "provenance": [{"text": text, "run": run} for text, run in board_provenance(board)],
    }


def _row(board: Board, row: Row, reported: Reported) -> dict[str, Any]:
    return {
        "method": row.method,
        "model": row.model,
        "role": row.role,
        "sources": row.sources(),
        "means": {metric: mean_over_targets(board, row, metric) for metric in board.metrics},
        "targets": {target: _target(board, row, target, reported) for target in board.targets},
        "milliseconds": _milliseconds(row),
        "training_seconds": _training_seconds(row),
        "settings": [result.settings for seeds in row.results.values() for result in seeds.values()][:1],
    }


def _target(board: Board, row: Row, target: str, reported: Reported) -> dict[str, Any]:
    comparable = board.backbone == reported.backbone and row.role == "method"
    figures: dict[str, dict[str, Any]] = {}
    for metric in board.metrics:
        for category in (MEAN, *board.categories(target)):
            figure = row.figure(target, metric, category)
            if figure is not None:
                figures.setdefault(category, {})[metric] = [round(figure.mean, 5), figure.deviation]
    return {
        "figures": figures,
        "hole": row.hole(target),
        "paper": {metric: value for metric, value, _ in reported.figures(row.model, target)} if comparable else {},
    }


def _milliseconds(row: Row) -> float | None:
    """In the model, per image, over everything that was tested."""
    tested = [
        each for seeds in row.results.values() for result in seeds.values() for each in result.categories.values()
    ]
    images = sum(each.count for each in tested)
    return 1000 * sum(each.seconds for each in tested) / images if images else None


def _training_seconds(row: Row) -> float | None:
    """Of the longest training."""
    seconds = [
        result.training.seconds
        for seeds in row.results.values()
        for result in seeds.values()
        if result.training is not None
    ]
    return max(seconds) if seconds else None
