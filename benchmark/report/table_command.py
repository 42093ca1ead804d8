"""Make tables of result files."""

import sys
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from anomalib_cops.errors import InputError, nearest

from ..files import write_text
from ..program import program
from ..records.result import AT_THRESHOLD, METRICS
from ..records.store import results_in
from . import flat, render
from .leaderboard import boards
from .reported import load_reported

FORMATS = {"markdown": "md", "csv": "csv", "latex": "tex", "json": "json"}
"""Formats of tables with the suffix of their files."""
NAME = "leaderboard"
FIGURES = (*METRICS, *AT_THRESHOLD)
"""All that ``--metrics`` can name."""


def arguments() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results/benchmark"), help="folder of results")
    parser.add_argument("--format", type=str, default="markdown", help=f"one of {', '.join(FORMATS)}")
    parser.add_argument("--metrics", type=list[str], default=list(FIGURES), help="only these metrics")
    parser.add_argument("--categories", action="store_true", help="also a table per data set and metric")
    parser.add_argument(
        "--write", action="store_true", help=f"write {NAME}.* in all formats into the folder of results"
    )
    parser.add_argument("--check", action="store_true", help="fail where what --write would write is stale")
    return parser


def main(options: Namespace) -> int:
    """Print tables, write them, or say which are stale; see ``cli.main`` for the exit code."""
    if options.format not in FORMATS:
        raise InputError(f"unknown format '{options.format}'{nearest(options.format, FORMATS)}")
    for metric in options.metrics:
        if metric not in FIGURES:
            raise InputError(f"unknown metric '{metric}'{nearest(metric, FIGURES)}")
    if options.check:
        return check_tables(options.results)
    if options.write:
        write_tables(options.results)
        return 0
    print(table(options.results, options.format, options.metrics, options.categories), end="")
    return 0


def table(folder: Path, style: str, metrics: list[str] | None = None, categories: bool = False) -> str:
    """Print all results of a folder as one text; notices go to standard error.

    Args:
        folder: Folder of results.
        style: One of ``FORMATS``.
        metrics: Metrics to show; all if None.
        categories: Also show a table per data set and metric; CSV and JSON always have these figures.

    Raises:
        InputError: There are no results, they are of another version, or tested on what they were trained on.
    """
    all_boards, reported, shown = boards(results_in(folder)), load_reported(), metrics or list(FIGURES)
    match style:
        case "markdown":
            return render.markdown(all_boards, reported, shown, categories)
        case "latex":
            return render.latex(all_boards, reported, shown, categories)
        case "csv":
            return flat.as_csv(all_boards, reported, shown)
        case _:
            return flat.as_json(all_boards, reported, shown)


def write_tables(folder: Path) -> None:
    """Write the tables of a folder in all formats, where they are stale."""
    for path, content in _stale_tables(folder).items():
        write_text(path, content)


def check_tables(folder: Path) -> int:
    """Say which tables of a folder are stale; return 1 if any is, else 0."""
    stale = _stale_tables(folder)
    command = " ".join(program())
    for path in stale:
        print(f"{path} is stale: run {command} table --write --results {folder}", file=sys.stderr)
    return 1 if stale else 0


def _stale_tables(folder: Path) -> dict[Path, str]:
    """Return the files that differ from the results, with their new content."""
    fresh = {folder / f"{NAME}.{suffix}": table(folder, style, categories=True) for style, suffix in FORMATS.items()}
    return {path: content for path, content in fresh.items() if not path.is_file() or path.read_text() != content}
