"""Tables as Markdown, LaTeX, CSV and JSON."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from .leaderboard import MEAN, Board, Row, ranks
from .reported import Reported
from .tables import Entry, Table, ablation, beside_papers, by_category, overview

TINY = "tiny"
TINY_LABEL = (
    "tiny backbone, synthetic and sample data: shows that the harness works, says nothing about the papers' accuracy"
)
COLUMNS = (
    *("backbone", "method", "role", "trained_on", "target", "category", "metric"),
    *("mean", "deviation", "seeds", "rank", "paper", "difference", "hole"),
)


def all_tables(board: Board, reported: Reported, metrics: Sequence[str], categories: bool) -> list[Table]:
    """Overviews, ablation, categories if wanted, and what the papers say."""
    tables = [overview(board, metric) for metric in metrics]
    ablated = ablation(board, metrics)
    tables += [ablated] if ablated else []
    if categories:
        tables += [
            by_category(board, target, metric)
            for target in board.targets
            if len(board.categories(target)) > 1
            for metric in metrics
            if board.has(target, metric)
        ]
    return tables + beside_papers(board, reported)


def remarks(board: Board) -> list[str]:
    """What a reader of a board's tables has to know."""
    notes = [f"*{TINY_LABEL}*"] if board.backbone == TINY else []
    notes += [f"**{target}: rows saw different images, so they cannot be compared.**" for target in board.unlike()]
    return notes + [f"failed: {failure}" for failure in board.failures()]


def markdown(boards: Sequence[Board], reported: Reported, metrics: Sequence[str], categories: bool = False) -> str:
    """All boards as a Markdown page: best bold, second underlined."""
    lines: list[str] = []
    for board in boards:
        lines += [f"## Backbone {board.backbone}", "", *(f"{note}\n" for note in remarks(board))]
        lines += [text for text, _ in board_provenance(board)] + [""]
        for table in all_tables(board, reported, _present(board, metrics), categories):
            lines += [f"### {table.title}", "", markdown_table(table), ""]
    return "\n".join(lines).rstrip() + "\n"


def markdown_table(table: Table) -> str:
    """One table with its notes."""
    lines = [_line(table.header), "|---" * len(table.header) + "|"]
    lines += [_line([_marked(entry) for entry in row]) for row in table.rows]
    return "\n".join([*lines, *(f"\n{note}" for note in table.notes)])


def latex(boards: Sequence[Board], reported: Reported, metrics: Sequence[str], categories: bool = False) -> str:
    """All boards as LaTeX tables for the package booktabs."""
    lines = ["% needs \\usepackage{booktabs}"]
    for board in boards:
        label = f" ({TINY_LABEL})" if board.backbone == TINY else ""
        lines += [f"% failed: {_escaped(failure)}" for failure in board.failures()]
        for table in all_tables(board, reported, _present(board, metrics), categories):
            caption = _escaped(f"{table.title}. Backbone {board.backbone}{label}.")
            lines += [
                "\\begin{table}",
                "\\centering",
                f"\\caption{{{caption}}}",
                f"\\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
                "\\toprule",
                " & ".join(map(_escaped, table.header)) + " \\\\",
                "\\midrule",
                *(" & ".join(map(_latex_entry, row)) + " \\\\" for row in table.rows),
                "\\bottomrule",
                "\\end{tabular}",
                "\\end{table}",
                "",
            ]
    return "\n".join(lines).rstrip() + "\n"


def records(boards: Sequence[Board], reported: Reported, metrics: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One flat record per row, target, category and metric; the category is empty for the mean over categories."""
    for board in boards:
        for metric in _present(board, metrics):
            for target in board.targets:
                if not board.has(target, metric):
                    continue
                for category in (MEAN, *board.categories(target)):
                    yield from _compared_records(board, reported, metric, target, category)


def as_csv(boards: Sequence[Board], reported: Reported, metrics: Sequence[str]) -> str:
    """The records as CSV."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records(boards, reported, metrics))
    return buffer.getvalue()


def as_json(boards: Sequence[Board], reported: Reported, metrics: Sequence[str]) -> str:
    """The records as JSON, a line each, with what failed."""
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records(boards, reported, metrics))
    failures = json.dumps([failure for board in boards for failure in board.failures()], ensure_ascii=False)
    return f'{{"failures": {failures}, "records": [\n{lines}\n]}}\n'


def board_provenance(board: Board) -> list[tuple[str, dict[str, Any]]]:
    """In words, and as data: what all figures of a board were made with."""
    # What was run on another day with the same is named once.
    runs = {
        _where(run): run
        for row in board.rows
        for seeds in row.results.values()
        for result in seeds.values()
        for run in result.runs
    }
    numbers = sorted({seed for row in board.rows for each in row.results.values() for seed in each})
    named = "seed" + "s" * (len(numbers) > 1) + " " + ", ".join(map(str, numbers))
    return [(f"Backbone {board.backbone}, {named}; {where}.", run) for where, run in runs.items()]


def _where(run: dict[str, Any]) -> str:
    machine, versions = run.get("machine", {}), run.get("versions", {})
    device = machine.get("gpu") or f"{machine.get('cores', '?')} cores ({machine.get('processor', '?')})"
    used = ", ".join(f"{name} {versions[name]}" for name in ("torch", "anomalib", "anomalib-cops") if name in versions)
    commit = f", commit {run['commit']}" if run.get("commit") else ""
    return f"{device}; {used}{commit}"


def _compared_records(
    board: Board, reported: Reported, metric: str, target: str, category: str
) -> Iterator[dict[str, Any]]:
    ranked = board.of("method", "baseline")
    figures = {row.method: row.figure(target, metric, category) for row in board.rows}
    means = [None if (each := figures[row.method]) is None else round(each.mean, 3) for row in ranked]
    places = dict(zip((row.method for row in ranked), ranks(means), strict=True))
    for row in board.rows:
        figure, paper = figures[row.method], _paper(board, row, reported, target, metric, category)
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
            "hole": row.hole(target) if figure is None else "",
        }


def _paper(board: Board, row: Row, reported: Reported, target: str, metric: str, category: str) -> float | None:
    if category or board.backbone != reported.backbone or row.role != "method":
        return None
    return reported.value(row.model, target, metric)


def _present(board: Board, metrics: Sequence[str]) -> list[str]:
    return [metric for metric in metrics if metric in board.metrics]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _marked(entry: Entry) -> str:
    return f"**{entry.text}**" if entry.place == 1 else f"<u>{entry.text}</u>" if entry.place == 2 else entry.text


def _latex_entry(entry: Entry) -> str:
    text = _escaped(entry.text)
    return f"\\textbf{{{text}}}" if entry.place == 1 else f"\\underline{{{text}}}" if entry.place == 2 else text


def _escaped(text: str) -> str:
    """For LaTeX."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
    special |= {"→": r"$\rightarrow$", "←": r"$\leftarrow$", "†": r"$\dagger$", "–": "--"}
    special |= {each: f"\\{each}" for each in "&%$#_{}"}
    return "".join(special.get(letter, letter) for letter in text)
