"""Tables of README and docs, made from result files between markers: ``python -m tools.tables``.

``--check`` fails where one is stale.

Figures are never typed: ``docs/results/demo.json`` is a copy of what ``make demo`` wrote, ``docs/results/speed.json``
of what ``python -m benchmark speed`` wrote, and ``benchmark/results`` is what ``python -m benchmark run quick`` wrote.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from benchmark.leaderboard import Board, boards
from benchmark.render import TINY, board_provenance, markdown_table, remarks
from benchmark.reported import load_reported
from benchmark.speed_table import summary
from benchmark.speed_table import tables as speed_tables
from benchmark.store import Store
from benchmark.tables import ablation, overview, published

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("I-AUROC", "I-AP", "I-F1max", "P-AUROC", "P-AP", "AUPRO")


def demo_table(result: dict) -> str:
    """Markdown of a demo's figures, with where they come from."""
    machine = result["machine"]
    lines = [
        f"CoPS with the {result['backbone']}, trained on {result['source']} categories, seed {result['seed']}: "
        f"{result['seconds'] / 60:.1f} minutes on {machine['cores']} cores ({machine['processor']}), "
        f"torch {result['versions']['torch']}. *A stand-in: says nothing about the accuracy of CoPS.*",
        "",
        "| target | images | " + " | ".join(COLUMNS) + " |",
        "|---|---|" + "---|" * len(COLUMNS),
    ]
    for name, row in result["targets"].items():
        figures = ["–" if row[column] is None else f"{100 * row[column]:.1f}" for column in COLUMNS]
        lines.append(f"| {name} | {row['images']} | " + " | ".join(figures) + " |")
    return "\n".join(lines)


def quick_board() -> Board:
    """The committed run of ``quick``."""
    (board,) = (board for board in boards(Store(ROOT / "benchmark/results").results()) if board.backbone == TINY)
    return board


def benchmark_tables(board: Board, *, whole: bool) -> str:
    """The committed run: what it says and does not say, and its tables.

    Args:
        board: The run.
        whole: Also pixels and the ablation.
    """
    tables = [overview(board, metric) for metric in (("I-AUROC", "P-AUROC", "AUPRO") if whole else ("I-AUROC",))]
    ablated = ablation(board, ("I-AUROC", "P-AUROC", "AUPRO"))
    tables += [ablated] if whole and ablated else []
    lines = [*remarks(board), "", *(text for text, _ in board_provenance(board))]
    for table in tables:
        lines += ["", f"{table.title}:", "", markdown_table(table)]
    return "\n".join(lines)


def published_tables() -> str:
    """What the papers report."""
    tables = [published(load_reported(), metric) for metric in ("I-AUROC", "P-AUROC", "AUPRO")]
    text = "\n\n".join(f"{table.title}:\n\n{markdown_table(table)}" for table in tables)
    return f"{text}\n\n{load_reported().legend}"


def pages() -> dict[Path, str]:
    """All pages with generated parts, as they should be."""
    demo, board = json.loads((ROOT / "docs/results/demo.json").read_text()), quick_board()
    speed = json.loads((ROOT / "docs/results/speed.json").read_text())
    readme, page, speed_page = ROOT / "README.md", ROOT / "docs/benchmark.md", ROOT / "docs/speed.md"
    generated = {
        "demo": demo_table(demo),
        "benchmark": benchmark_tables(board, whole=False),
        "speed": summary(speed),
    }
    start = readme.read_text()
    for name, content in generated.items():
        start = filled(start, name, content)
    return {
        readme: start,
        speed_page: filled(speed_page.read_text(), "speed", speed_tables(speed)),
        page: filled(
            filled(page.read_text(), "benchmark", benchmark_tables(board, whole=True)), "published", published_tables()
        ),
    }


def filled(text: str, name: str, content: str) -> str:
    """A page with the part between its markers replaced."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n{content}\n{end}{after}"


def main(arguments: list[str] | None = None) -> int:
    """Rewrite the pages, or say which are stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    stale = {page: fresh for page, fresh in pages().items() if fresh != page.read_text()}
    if options.check:
        for page in stale:
            print(f"{page.name} is stale: run python -m tools.tables")
        return 1 if stale else 0
    for page, fresh in stale.items():
        unfinished = page.with_suffix(".tmp")
        unfinished.write_text(fresh)
        os.replace(unfinished, page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
