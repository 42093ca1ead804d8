"""``table``: from result files to tables."""

import sys
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from anomalib_cops.errors import InputError, nearest

from ..files import write_text
from ..records.result import METRICS
from ..records.store import results_in
from . import render
from .leaderboard import boards
from .reported import load_reported

FORMATS = {"markdown": "md", "csv": "csv", "latex": "tex", "json": "json"}
NAME = "leaderboard"


def arguments() -> ArgumentParser:
    """The command's arguments."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results/benchmark"), help="folder of results")
    parser.add_argument("--format", type=str, default="markdown", help=f"one of {', '.join(FORMATS)}")
    parser.add_argument("--metrics", type=list[str], default=list(METRICS), help="only these")
    parser.add_argument("--categories", action="store_true", help="also a table per data set and metric")
    parser.add_argument(
        "--write", action="store_true", help=f"write {NAME}.* in all formats into the folder of results"
    )
    parser.add_argument("--check", action="store_true", help="fail where what --write would write is stale")
    return parser


def main(options: Namespace) -> int:
    """Print tables, write them, or say which are stale."""
    if options.format not in FORMATS:
        raise InputError(f"unknown format '{options.format}'{nearest(options.format, FORMATS)}")
    for metric in options.metrics:
        if metric not in METRICS:
            raise InputError(f"unknown metric '{metric}'{nearest(metric, METRICS)}")
    if options.write or options.check:
        return write_or_check(options.results, check=options.check)
    print(table(options.results, options.format, options.metrics, options.categories), end="")
    return 0


def table(folder: Path, style: str, metrics: list[str] | None = None, categories: bool = False) -> str:
    """All results of a folder as one text; notices go to standard error.

    Args:
        folder: Of results.
        style: One of ``FORMATS``.
        metrics: Only these; all when not given.
        categories: Also a table per data set and metric; CSV and JSON always have the figures.

    Raises:
        InputError: There are no results, they are of another version, or trained on what they were tested on.
    """
    found = results_in(folder)
    sorted_boards, reported, chosen = boards(found), load_reported(), metrics or list(METRICS)
    match style:
        case "markdown":
            return render.markdown(sorted_boards, reported, chosen, categories)
        case "latex":
            return render.latex(sorted_boards, reported, chosen, categories)
        case "csv":
            return render.as_csv(sorted_boards, reported, chosen)
        case _:
            return render.as_json(sorted_boards, reported, chosen)


def write_or_check(folder: Path, *, check: bool) -> int:
    """Write the tables of a folder in all formats, or say which of them are stale."""
    stale = []
    for style, suffix in FORMATS.items():
        path = folder / f"{NAME}.{suffix}"
        content = table(folder, style, categories=True)
        if not path.is_file() or path.read_text() != content:
            stale.append(path)
            if not check:
                write_text(path, content)
    if check:
        for path in stale:
            print(f"{path} is stale: run python -m benchmark table --write --results {folder}", file=sys.stderr)
        return 1 if stale else 0
    return 0
