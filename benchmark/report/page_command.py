"""Make one self-contained HTML page of result files."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment
from jsonargparse import ArgumentParser, Namespace

from anomalib_cops.errors import InputError, nearest

from ..files import write_text
from ..records.result import METRICS
from ..records.store import results_in
from .gallery import Gallery
from .leaderboard import boards
from .page_data import board_data
from .reported import load_reported
from .same_method import HEADING, same_method_tables

PARTS = ("style.css", "charts.js", "page.js")


def arguments() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results/benchmark"), help="folder of results")
    parser.add_argument("--output", type=Path | None, help="the page; report.html in the folder of results by default")
    parser.add_argument("--gallery", type=list[str] | None, help="only pictures of these targets; [] for none")
    return parser


def main(options: Namespace) -> int:
    """Write the page and print its path; see ``cli.main`` for the exit code."""
    path = options.output or options.results / "report.html"
    write_text(path, page(options.results, options.gallery))
    print(path)
    return 0


def page(folder: Path, gallery_targets: list[str] | None = None) -> str:
    """Make the page as HTML that needs no other file and no network.

    Args:
        folder: Folder of results.
        gallery_targets: Targets whose pictures are shown; all if None.

    Raises:
        InputError: There are no results, they are of another version, or tested on what they were trained on.
    """
    results = results_in(folder)
    targets = {result.target for _, result in results}
    for name in gallery_targets or []:
        if name not in targets:
            raise InputError(f"there is no target '{name}' in {folder}{nearest(name, targets)}")
    shown = targets if gallery_targets is None else set(gallery_targets)
    reported = load_reported()
    all_boards = boards(results)
    data: list[dict[str, Any]] = [
        board_data(board, all_boards, reported) | {"gallery": Gallery(board, folder, shown).data()}
        for board in all_boards
    ]
    source = files(__package__) / "page"
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((source / "template.html").read_text())
    parts = {name.replace(".", "_"): (source / name).read_text() for name in PARTS}
    # "<" is escaped, so that nothing in the data can end the script element.
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    compared = {"same_method": HEADING, "same_method_tables": same_method_tables(all_boards, METRICS)}
    return template.render(**parts, boards=data, data=text, **compared) + "\n"
