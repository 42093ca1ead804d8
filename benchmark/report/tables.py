"""Tables of a leaderboard, before anyone decides how they are printed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from .leaderboard import Board, Figure, Row, ranks
from .reported import Reported

HOLE = "–"


@dataclass(frozen=True)
class Entry:
    """One place in a table.

    Attributes:
        text: What is printed.
        place: 1 for the best of its column, 2 for the second, 0 otherwise.
    """

    text: str
    place: int = 0


@dataclass
class Table:
    """A table.

    Attributes:
        title: Above it.
        header: Of the columns.
        rows: Of entries.
        notes: Below it.
    """

    title: str
    header: list[str]
    rows: list[list[Entry]]
    notes: list[str] = field(default_factory=list)


def percent(value: float, decimals: int = 1) -> str:
    """A share in percent, without the sign."""
    return f"{100 * value:.{decimals}f}"


def figure_text(figure: Figure) -> str:
    """A figure in percent, with its deviation over seeds if there are several."""
    spread = "" if figure.deviation is None else f" ± {percent(figure.deviation)}"
    return percent(figure.mean) + spread


def overview(board: Board, metric: str) -> Table:
    """One metric: a row per method or baseline, a column per target, the mean over targets and the rank."""
    return _compared(
        f"{metric}, mean over categories",
        board.of("method", "baseline"),
        [target for target in board.targets if board.has(target, metric)],
        lambda row, target: row.figure(target, metric),
        lambda row, target: row.hole(target),
    )


def by_category(board: Board, target: str, metric: str) -> Table:
    """One metric on one target: a row per method or baseline, a column per category."""
    return _compared(
        f"{metric} on {target}",
        board.of("method", "baseline"),
        board.categories(target),
        lambda row, category: row.figure(target, metric, category),
        lambda row, category: row.hole(target),
    )


def ablation(board: Board, metrics: Sequence[str]) -> Table | None:
    """What parts of a method are worth: means over targets, and differences from the whole method."""
    ablated = board.of("ablation")
    whole = [row for row in board.of("method", "baseline") if row.model in {each.model for each in ablated}]
    if not ablated or not whole:
        return None
    entries = []
    for row in [*whole, *ablated]:
        full = next(each for each in whole if each.model == row.model)
        entries.append([Entry(row.method), *(Entry(_difference(board, row, full, metric)) for metric in metrics)])
    return Table(
        "Ablation, mean over data sets",
        ["row", *metrics],
        entries,
        ["In brackets: difference from the whole method, in points."],
    )


def mean_over_targets(board: Board, row: Row, metric: str) -> float | None:
    """Mean over all targets that have the metric; None if one of them is a hole."""
    figures = [row.figure(target, metric) for target in board.targets if board.has(target, metric)]
    known = [figure.mean for figure in figures if figure is not None]
    return fmean(known) if known and len(known) == len(figures) else None


def beside_papers(board: Board, reported: Reported) -> list[Table]:
    """Per method: the paper's figure, ours, and the difference; only where the backbone is the paper's."""
    tables = []
    if board.backbone != reported.backbone:
        return []
    for row in board.of("method"):
        lines = [
            [
                Entry(target),
                Entry(metric),
                Entry(f"{paper:.1f}{mark}"),
                Entry(figure_text(ours)),
                Entry(f"{delta:+.1f}"),
            ]
            for target in board.targets
            for metric, paper, mark in reported.figures(row.model, target)
            if (ours := row.figure(target, metric)) is not None
            for delta in [100 * ours.mean - paper]
        ]
        if lines:
            notes = [reported.note(row.model)]
            header = ["data set", "metric", "paper", "ours", "difference"]
            tables.append(Table(f"{row.method} beside its paper", header, lines, notes))
    return tables


def published(reported: Reported, metric: str) -> Table:
    """What the papers report: a row per data set, a column per method."""
    models = [model for model in reported.models if any(name == metric for name, _, _ in reported.all_figures(model))]
    targets = list(dict.fromkeys(target for model in models for target in reported.targets(model, metric)))
    texts = {target: [reported.text(model, target, metric) or HOLE for model in models] for target in targets}
    rows = [[Entry(text) for text in (target, *line)] for target, line in texts.items()]
    return Table(f"{metric} as published", ["data set", *models], rows)


def _compared(
    title: str,
    rows: Sequence[Row],
    columns: Sequence[str],
    figure: Callable[[Row, str], Figure | None],
    hole: Callable[[Row, str], str],
) -> Table:
    figures = [[figure(row, column) for column in columns] for row in rows]
    means = [
        fmean(each.mean for each in line if each is not None) if line and None not in line else None for line in figures
    ]
    places = [
        ranks([None if line[index] is None else _seen(line[index]) for line in figures])
        for index in range(len(columns))
    ]
    mean_places = ranks([None if mean is None else round(mean, 3) for mean in means])
    entries = []
    for number, (row, line) in enumerate(zip(rows, figures, strict=True)):
        cells = [Entry(row.method), Entry(", ".join(row.sources()))]
        for index, each in enumerate(line):
            text = figure_text(each) if each is not None else hole(row, columns[index]) or HOLE
            cells.append(Entry(text, places[index][number] or 0))
        if len(columns) > 1:
            mean = means[number]
            cells.append(Entry(HOLE if mean is None else percent(mean), mean_places[number] or 0))
        rank = mean_places[number]
        entries.append([*cells, Entry(HOLE if rank is None else str(rank))])
    summary = ["mean", "rank"] if len(columns) > 1 else ["rank"]
    return Table(title, ["method", "trained on", *columns, *summary], entries)


def _seen(figure: Figure | None) -> float:
    """As printed: what looks equal shares a rank."""
    assert figure is not None
    return round(figure.mean, 3)


def _difference(board: Board, row: Row, full: Row, metric: str) -> str:
    mean = mean_over_targets(board, row, metric)
    if mean is None:
        return HOLE
    whole = mean_over_targets(board, full, metric)
    return percent(mean) if row is full or whole is None else f"{percent(mean)} ({100 * (mean - whole):+.1f})"
