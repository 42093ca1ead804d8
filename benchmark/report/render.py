"""Print tables as Markdown and LaTeX."""

from collections.abc import Sequence

from ..plan.names import TINY
from .board import Board
from .figure_table import Entry, FigureTable
from .remarks import TINY_LABEL, board_provenance, remarks
from .reported import Reported
from .tables import all_tables


def markdown(boards: Sequence[Board], reported: Reported, metrics: Sequence[str], categories: bool = False) -> str:
    """Print all boards as a Markdown page: the best of each column bold, the second best underlined."""
    lines: list[str] = []
    for board in boards:
        lines += [f"## Backbone {board.backbone}", "", *(f"{note}\n" for note in remarks(board))]
        lines += [text for text, _ in board_provenance(board)] + [""]
        for table in all_tables(board, reported, present_metrics(board, metrics), categories):
            lines += [f"### {table.title}", "", markdown_table(table), ""]
    return "\n".join(lines).rstrip() + "\n"


def markdown_table(table: FigureTable) -> str:
    """Print one table with its notes as Markdown."""
    lines = [_markdown_line(table.header), "|---" * len(table.header) + "|"]
    lines += [_markdown_line([_markdown_entry(entry) for entry in row]) for row in table.rows]
    return "\n".join([*lines, *(f"\n{note}" for note in table.notes)])


def latex(boards: Sequence[Board], reported: Reported, metrics: Sequence[str], categories: bool = False) -> str:
    """Print all boards as LaTeX tables for the package booktabs."""
    lines = ["% needs \\usepackage{booktabs}"]
    for board in boards:
        label = f" ({TINY_LABEL})" if board.backbone == TINY else ""
        lines += [f"% failed: {_escaped(failure)}" for failure in board.failures()]
        for table in all_tables(board, reported, present_metrics(board, metrics), categories):
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


def present_metrics(board: Board, metrics: Sequence[str]) -> list[str]:
    """Return those of the metrics that any target of a board has."""
    return [metric for metric in metrics if metric in board.metrics]


def _markdown_line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def _markdown_entry(entry: Entry) -> str:
    return f"**{entry.text}**" if entry.place == 1 else f"<u>{entry.text}</u>" if entry.place == 2 else entry.text


def _latex_entry(entry: Entry) -> str:
    text = _escaped(entry.text)
    return f"\\textbf{{{text}}}" if entry.place == 1 else f"\\underline{{{text}}}" if entry.place == 2 else text


def _escaped(text: str) -> str:
    """Escape text for LaTeX."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
    special |= {"→": r"$\rightarrow$", "←": r"$\leftarrow$", "†": r"$\dagger$", "–": "--"}
    special |= {each: f"\\{each}" for each in "&%$#_{}"}
    return "".join(special.get(letter, letter) for letter in text)
