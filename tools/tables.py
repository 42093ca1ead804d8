"""Tables of README and docs, made between markers; ``--check`` fails where one is stale.

Figures are never typed: ``docs/results/demo.json`` is a copy of what ``make demo`` wrote. What is said of data sets is
made from their declarations.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from anomalib_cops.data.catalog import CATALOG, FURTHER, INDUSTRIAL, MEDICAL
from anomalib_cops.data.describe import catalogue, layouts

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
    stale = [page for page, name, content in tables() if not _refresh(ROOT / page, name, content, options.check)]
    for page in stale:
        print(f"{page} is stale: run python tools/tables.py")
    return 1 if stale else 0


def tables() -> list[tuple[str, str, str]]:
    """Page, name of the markers and content of each table."""
    demo = json.loads((ROOT / "docs/results/demo.json").read_text())
    sets = [("industrial", INDUSTRIAL), ("medical", MEDICAL), ("further", FURTHER)]
    return [
        ("README.md", "demo", demo_table(demo)),
        *(("docs/datasets.md", f"catalogue {name}", catalogue(declared)) for name, declared in sets),
        ("docs/datasets.md", "layouts", layouts(CATALOG.values())),
    ]


def _refresh(page: Path, name: str, content: str, check: bool) -> bool:
    """Whether a page is fresh, or has been made so."""
    text = page.read_text(encoding="utf-8")
    fresh = filled(text, name, content)
    if fresh == text or check:
        return fresh == text
    unfinished = page.with_suffix(".tmp")
    unfinished.write_text(fresh, encoding="utf-8")
    os.replace(unfinished, page)
    return True


if __name__ == "__main__":
    sys.exit(main())
