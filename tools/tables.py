"""Write the generated tables of README and docs between their markers: ``python -m tools.tables``.

With ``--check``, change nothing and fail if a table is out of date. No figure is typed by hand:
``docs/results/demo.json`` is a copy of the result of ``make demo``, and beside it ``references.json`` of that of
``python -m tools.reference_study``, ``tiles.json`` of that of ``python -m tools.tile_study``, ``speed.json`` of that of
``python -m benchmark speed``, and ``precision.json`` and ``card.json`` of that with ``--precision``;
``benchmark/results`` is a copy of that of ``python -m benchmark run quick``, and the folder ``shots`` in it of that of
``python -m benchmark run shots``. Tables of data sets are made from their
declarations, and the table of capabilities from the list that a test checks.
"""

import argparse
import json
import sys
from pathlib import Path

from anomalib_cops.data.describe import catalogue, layouts
from anomalib_cops.data.sets.catalog import CATALOG, FURTHER, INDUSTRIAL, MEDICAL
from anomalib_cops.files import write_text
from anomalib_cops.registry import MODELS
from benchmark.plan.configuration import read_matrix
from benchmark.records.result import AT_THRESHOLD
from benchmark.records.store import Store
from benchmark.report.board import Board
from benchmark.report.leaderboard import boards
from benchmark.report.ranked_tables import overview
from benchmark.report.remarks import board_provenance, remarks
from benchmark.report.render import markdown_table
from benchmark.report.reported import load_reported
from benchmark.report.shot_tables import shot_tables
from benchmark.report.tables import ablation, published
from benchmark.speed import tables as speed_tables
from benchmark.speed.card_table import card_table
from benchmark.speed.precision_table import precision_tables
from tools.capabilities import capability_table
from tools.method_tables import common_table, methods_table, settings_table
from tools.million import million_table
from tools.reference_study import study_table
from tools.tile_study import tile_table

ROOT = Path(__file__).resolve().parent.parent
CARD = ROOT / "docs/results/card.json"
SHOTS = "benchmark/results/shots"
COLUMNS = ("I-AUROC", "I-AP", "I-F1max", "P-AUROC", "P-AP", "AUPRO")


def demo_table(result: dict) -> str:
    """Return the figures of a demo and how they were made, in Markdown."""
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


def few_shot_table(result: dict) -> str:
    """Return the figures of a demo with reference images beside those without, in Markdown."""
    few = result["few_shot"]
    lines = [
        f"The same prompts and photographs, compared with {few['references']} good images of each target; thresholds "
        f"calibrated on {few['calibration']} other good images for {100 * few['false_alarm_rate']:g} % false alarms. "
        "No image is used twice.",
        "",
        f"| target | images | I-AUROC without | I-AUROC with {few['references']} | false alarms | defects found |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in few["targets"].items():
        columns = ("zero-shot I-AUROC", "I-AUROC", "false alarms", "recall")
        figures = " | ".join(f"{100 * row[column]:.1f}" for column in columns)
        lines.append(f"| {name} | {row['images']} | {figures} |")
    return "\n".join(lines)


def quick_board() -> Board:
    """Return the board of the committed run of ``quick``."""
    by_backbone = {board.backbone: board for board in boards(Store(ROOT / "benchmark/results").results())}
    return by_backbone[str(read_matrix("quick").backbone)]


def benchmark_tables(board: Board, *, whole: bool) -> str:
    """Return the committed run in Markdown: remarks, provenance and tables.

    Args:
        board: The board of the run.
        whole: Include pixel metrics and the ablation.
    """
    tables = [overview(board, metric) for metric in (("I-AUROC", "P-AUROC", "AUPRO") if whole else ("I-AUROC",))]
    ablated = ablation(board, ("I-AUROC", "P-AUROC", "AUPRO"))
    tables += [ablated] if whole and ablated else []
    lines = [*remarks(board), "", *(text for text, _ in board_provenance(board))]
    for table in tables:
        lines += ["", f"{table.title}:", "", markdown_table(table)]
    return "\n".join(lines)


def shots_tables() -> str:
    """Return the committed run of ``shots`` in Markdown: remarks, provenance, and tables by number of references."""
    of_shots = boards(Store(ROOT / SHOTS).results())
    metrics = ("I-AUROC", "P-AUROC", *AT_THRESHOLD)
    texts = dict.fromkeys(text for board in of_shots for text in (*remarks(board), *_provenance(board)))
    lines = ["The committed run of `shots`:", "", *(f"{text}\n" for text in texts)]
    for table in shot_tables(of_shots, str(read_matrix("shots").backbone), metrics, per_target=False):
        lines += [f"{table.title}:", "", markdown_table(table), ""]
    return "\n".join(lines).rstrip()


def _provenance(board: Board) -> list[str]:
    return [text for text, _ in board_provenance(board)]


def published_tables() -> str:
    """Return what the papers report in Markdown, with one table per metric."""
    tables = [published(load_reported(), metric) for metric in ("I-AUROC", "P-AUROC", "AUPRO")]
    text = "\n\n".join(f"{table.title}:\n\n{markdown_table(table)}" for table in tables)
    return f"{text}\n\n{load_reported().legend}"


def filled(text: str, name: str, content: str) -> str:
    """Return a page's text with the part between the markers ``name`` replaced."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n{content}\n{end}{after}"


def main(arguments: list[str] | None = None) -> int:
    """Rewrite the pages, or with ``--check`` list those that are out of date; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    stale = [page for page, name, content in tables() if not _refresh(ROOT / page, name, content, options.check)]
    for page in stale:
        print(f"{page} is out of date; run python -m tools.tables")
    return 1 if stale else 0


def tables() -> list[tuple[str, str, str]]:
    """Return the page, the name of the markers and the content of each table."""
    demo, board = json.loads((ROOT / "docs/results/demo.json").read_text()), quick_board()
    speed = json.loads((ROOT / "docs/results/speed.json").read_text())
    precision = json.loads((ROOT / "docs/results/precision.json").read_text())
    # A card is not always at hand.
    card = json.loads(CARD.read_text()) if CARD.exists() else None
    sets = [("industrial", INDUSTRIAL), ("medical", MEDICAL), ("further", FURTHER)]
    return [
        ("README.md", "demo", demo_table(demo)),
        ("README.md", "few-shot demo", few_shot_table(demo)),
        ("README.md", "benchmark", benchmark_tables(board, whole=False)),
        ("README.md", "speed", speed_tables.summary(speed)),
        ("README.md", "precision", precision_tables(precision, ["CoPS"])),
        ("docs/speed.md", "precision", f"{precision_tables(precision)}\n\n{card_table(card)}"),
        ("docs/models.md", "methods", methods_table()),
        ("docs/models.md", "references", study_table(json.loads((ROOT / "docs/results/references.json").read_text()))),
        ("docs/score.md", "million", million_table(speed)),
        ("docs/large-images.md", "tiles", tile_table(json.loads((ROOT / "docs/results/tiles.json").read_text()))),
        ("docs/models.md", "capabilities", capability_table()),
        ("docs/models.md", "arguments", common_table()),
        *(("docs/models.md", f"settings {name}", settings_table(entry.method)) for name, entry in MODELS.items()),
        ("docs/speed.md", "speed", speed_tables.tables(speed)),
        ("docs/benchmark.md", "benchmark", benchmark_tables(board, whole=True)),
        ("docs/benchmark.md", "published", published_tables()),
        # Nothing is shown where the run is not committed.
        *([("docs/benchmark.md", "shots", shots_tables())] if (ROOT / SHOTS / "cells").is_dir() else []),
        *(("docs/datasets.md", f"catalogue {name}", catalogue(declared)) for name, declared in sets),
        ("docs/datasets.md", "layouts", layouts(CATALOG.values())),
    ]


def _refresh(page: Path, name: str, content: str, check: bool) -> bool:
    """Update a page unless ``check`` is set; return whether it is up to date."""
    text = page.read_text(encoding="utf-8")
    fresh = filled(text, name, content)
    if fresh == text or check:
        return fresh == text
    write_text(page, fresh)
    return True


if __name__ == "__main__":
    sys.exit(main())
