"""Print tables as Markdown and LaTeX."""

from collections.abc import Sequence

from .board import Board
from .figure_table import Entry, FigureTable
from .remarks import board_provenance, remarks, stand_in_label
from .reported import Reported
from .same_method import HEADING, same_method_tables
from .shot_tables import shot_tables
from .tables import all_tables


def markdown(boards: Sequence[Board], reported: Reported, metrics: Sequence[str], categories: bool = False) -> str:
    """Print all boards as a Markdown page: the best of each column bold, the second best underlined.

    Where a method ran with several backbones, a table without ranks compares these at the end.
    """
    lines: list[str] = []
    for number, board in enumerate(boards):
        if compared := _shot_tables_before(boards, number, metrics, categories):
            lines += [f"## Backbone {board.backbone} by number of references", ""]
            label = stand_in_label(board.backbone)
            lines += [f"*{label}*", ""] if label else []
            for table in compared:
                lines += [f"### {table.title}", "", markdown_table(table), ""]
        lines += [f"## Backbone {board.name}", "", *(f"{note}\n" for note in remarks(board))]
        lines += [text for text, _ in board_provenance(board)] + [""]
        for table in all_tables(board, reported, present_metrics(board, metrics), categories):
            lines += [f"### {table.title}", "", markdown_table(table), ""]
    shared = same_method_tables(boards, metrics)
    lines += [f"## {HEADING}", ""] if shared else []
    for table in shared:
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
    for number, board in enumerate(boards):
        told = stand_in_label(board.backbone)
        label = f" ({told})" if told else ""
        for table in _shot_tables_before(boards, number, metrics, categories):
            lines += _latex_table(table, f"Backbone {board.backbone}{label}.")
        lines += [f"% failed: {_escaped(failure)}" for failure in board.failures()]
        for table in all_tables(board, reported, present_metrics(board, metrics), categories):
            lines += _latex_table(table, f"Backbone {board.name}{label}.")
    for table in same_method_tables(boards, metrics):
        lines += _latex_table(table, " ".join([f"{HEADING}.", *table.notes]))
    return "\n".join(lines).rstrip() + "\n"


def _latex_table(table: FigureTable, remark: str) -> list[str]:
    """Print one table as LaTeX lines, with a remark at the end of its caption."""
    return [
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{_escaped(f'{table.title}. {remark}')}}}",
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


def _shot_tables_before(
    boards: Sequence[Board], number: int, metrics: Sequence[str], categories: bool
) -> list[FigureTable]:
    """Make the tables by number of references before the first board of a backbone that has references."""
    board = boards[number]
    earlier = [each for each in boards[:number] if each.backbone == board.backbone and each.shots is not None]
    if board.shots is None or earlier:
        return []
    return shot_tables(boards, board.backbone, metrics, per_target=categories)


def present_metrics(board: Board, metrics: Sequence[str]) -> list[str]:
    """Return those of the metrics and figures at a fixed threshold that any target of a board has."""
    return [metric for metric in metrics if metric in (*board.metrics, *board.threshold_figures)]


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
