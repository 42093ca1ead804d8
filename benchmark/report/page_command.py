"""``report``: one self-contained HTML page of results."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment
from jsonargparse import ArgumentParser, Namespace

from anomalib_cops.errors import InputError, nearest

from ..files import write_text
from ..records.store import results_in
from .gallery import Gallery
from .leaderboard import boards
from .page_data import board_data
from .reported import load_reported

PARTS = ("style.css", "charts.js", "page.js")


def arguments() -> ArgumentParser:
    """The command's arguments."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results/benchmark"), help="folder of results")
    parser.add_argument("--output", type=Path | None, help="the page; report.html in the folder of results by default")
    parser.add_argument("--gallery", type=list[str] | None, help="only pictures of these targets; [] for none")
    return parser


def main(options: Namespace) -> int:
    """Write the page and say where it is."""
    path = options.output or options.results / "report.html"
    write_text(path, page(options.results, options.gallery))
    print(path)
    return 0


def page(folder: Path, pictured: list[str] | None = None) -> str:
    """The page as HTML; it needs nothing but itself.

    Args:
        folder: Of results.
        pictured: Targets whose pictures may be shown; all when not given.

    Raises:
        InputError: There are no results, they are of another version, or trained on what they were tested on.
    """
    found = results_in(folder)
    targets = {result.target for _, result in found}
    for name in pictured or []:
        if name not in targets:
            raise InputError(f"there is no target '{name}' in {folder}{nearest(name, targets)}")
    reported = load_reported()
    data: list[dict[str, Any]] = []
    for board in boards(found):
        gallery = Gallery(board, folder, targets if pictured is None else set(pictured))
        data.append(board_data(board, reported) | {"gallery": gallery.data()})
    source = files(__package__) / "page"
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        (source / "template.html").read_text()
    )
    parts = {name.replace(".", "_"): (source / name).read_text() for name in PARTS}
    # "<" is escaped, so that nothing in the data can end the script element.
    return (
        template.render(**parts, boards=data, data=json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")) + "\n"
    )
