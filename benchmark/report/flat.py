"""Print figures as flat CSV and JSON: one line per row, target, category and metric."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from ..records.result import AT_THRESHOLD
from .board import MEAN, Board, BoardRow, ranks
from .render import present_metrics
from .reported import Reported
from .same_method import have_same_method

COLUMNS = (
    *("backbone", "method", "role", "trained_on", "target", "category", "metric"),
    *("mean", "deviation", "seeds", "rank", "paper", "difference", "hole"),
)
REFERENCES = "references"
"""Further column, the number of references, where there are boards that have one."""


def as_csv(boards: Sequence[Board], reported: Reported, metrics: Sequence[str]) -> str:
    """Print all figures as CSV."""
    buffer = io.StringIO()
    columns = (*COLUMNS, REFERENCES) if _have_references(boards) else COLUMNS
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines(boards, reported, metrics))
    return buffer.getvalue()


def as_json(boards: Sequence[Board], reported: Reported, metrics: Sequence[str]) -> str:
    """Print all figures as JSON, one per line, with what failed."""
    figures = ",\n".join(json.dumps(line, ensure_ascii=False) for line in lines(boards, reported, metrics))
    failures = json.dumps([failure for board in boards for failure in board.failures()], ensure_ascii=False)
    return f'{{"failures": {failures}, "records": [\n{figures}\n]}}\n'


def lines(boards: Sequence[Board], reported: Reported, metrics: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the values of ``COLUMNS`` for each row, target, category and metric.

    The category is empty for the mean over all categories. Boards with a number of references also have lines without a
    target for the mean over all targets, since its deviation over draws does not follow from those of the targets, and
    so do all boards where a method ran with several backbones. Ranks are those within the board.
    """
    have_means = have_same_method(boards)
    for board in boards:
        further = {REFERENCES: board.shots} if _have_references(boards) else {}
        for metric in present_metrics(board, metrics):
            places = [
                (target, category)
                for target in board.targets_with(metric)
                for category in (MEAN, *board.categories(target))
            ]
            if have_means or board.shots is not None:
                places.append((MEAN, MEAN))
            for target, category in places:
                for line in _lines_of_rows(board, reported, metric, target, category):
                    yield line | further


def _have_references(boards: Sequence[Board]) -> bool:
    return any(board.shots is not None for board in boards)


def _lines_of_rows(
    board: Board, reported: Reported, metric: str, target: str, category: str
) -> Iterator[dict[str, Any]]:
    figures = {
        row.method: row.figure(target, metric, category)
        if target
        else row.figure_over(board.targets_with(metric), metric)
        for row in board.rows
    }
    ranked = [] if metric in AT_THRESHOLD else board.with_role("method", "baseline")
    means = [None if (each := figures[row.method]) is None else round(each.mean, 3) for row in ranked]
    places = dict(zip((row.method for row in ranked), ranks(means), strict=True))
    for row in board.rows:
        figure, paper = figures[row.method], _paper_percent(board, row, reported, target, metric, category)
        yield {
            "backbone": board.backbone,
            "method": row.method,
            "role": row.role,
            "trained_on": ", ".join(row.sources()),
            "target": target,
            "category": category,
            "metric": metric,
            "mean": None if figure is None else round(figure.mean, 6),
            "deviation": None if figure is None or figure.deviation is None else round(figure.deviation, 6),
            "seeds": 0 if figure is None else figure.seeds,
            "rank": places.get(row.method),
            "paper": None if paper is None else round(paper / 100, 6),
            "difference": None if paper is None or figure is None else round(figure.mean - paper / 100, 6),
            "hole": row.hole(target) if figure is None and target else "",
        }


def _paper_percent(
    board: Board, row: BoardRow, reported: Reported, target: str, metric: str, category: str
) -> float | None:
    """Return the paper's figure in percent, for methods with the papers' backbone and the mean over categories."""
    if category or board.backbone != reported.backbone or board.shots is not None or row.role != "method":
        return None
    return reported.value(row.model, target, metric)
