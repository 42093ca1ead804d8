"""Write ``docs/results/backbones.json`` and the tables of ``docs/backbones.md``: ``python -m tools.backbones``.

Every model that open_clip lists is built without weights, and the operations of one image are counted. This takes about
ten minutes on one core. With ``--check``, nothing is counted or written: it fails if the page is not what the file
gives, or if the file is not what the code says of support, settings, parameters, native sizes, tags and licences, and
takes about a minute. With ``--page``, the page alone is written from the file.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import open_clip

from anomalib_cops.files import write_json, write_text
from tools.backbones.facts import facts_of
from tools.backbones.page import filled_page
from tools.backbones.weightless import gflop_of_both_paths, gflop_of_encode_image, gflop_of_method, method_on

ROOT = Path(__file__).resolve().parents[2]
PAGE, RESULT = ROOT / "docs/backbones.md", ROOT / "docs/results/backbones.json"
PACKAGES = ("open_clip_torch", "timm", "torch")
COUNTED = ("cops_gflop", "both_paths_gflop", "encode_image_gflop")
"""Entries of a record that are counted, which a check does not do again."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Count and write, or check; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.backbones", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="compare page, file and code, and write nothing")
    what.add_argument("--page", action="store_true", help="write the page from the file")
    options = parser.parse_args(arguments)
    if options.check:
        problems = check(PAGE, RESULT)
        print(*problems, sep="\n", end="\n" if problems else "")
        return int(bool(problems))
    if not options.page:
        write_json(RESULT, measure(open_clip.list_models()))
    write_text(PAGE, filled_page(PAGE.read_text(encoding="utf-8"), json.loads(RESULT.read_text(encoding="utf-8"))))
    return 0


def measure(backbones: Sequence[str]) -> dict[str, Any]:
    """Return the records of backbones, with the operations of one image, and the versions that they come from."""
    start = time.monotonic()
    return {"versions": versions(), "backbones": {name: counted(name) for name in backbones}} | {
        "minutes": round((time.monotonic() - start) / 60, 1)
    }


def counted(backbone: str) -> dict[str, Any]:
    """Return the record of a backbone; with the GFLOP of one image of CoPS, and of ``encode_image``, if both work."""
    print(backbone, file=sys.stderr, flush=True)
    facts = facts_of(backbone)
    if facts.clip is None or facts.record["methods"]["CoPS"] is None:
        return facts.record
    cops = method_on(facts.clip, "CoPS", **facts.record["methods"]["CoPS"])
    return facts.record | {
        "cops_gflop": round(gflop_of_method(cops), 3),
        "both_paths_gflop": round(gflop_of_both_paths(facts.clip), 3),
        "encode_image_gflop": round(gflop_of_encode_image(facts.clip), 3),
    }


def check(page: Path, result: Path, backbones: Sequence[str] | None = None) -> list[str]:
    """Return in what the page differs from the result file, and the file from the code; empty if in nothing.

    Args:
        page: Markdown page with the tables.
        result: file of :func:`measure`.
        backbones: names to compare with the code; all by default.
    """
    written = json.loads(result.read_text(encoding="utf-8"))
    problems = []
    if filled_page(page.read_text(encoding="utf-8"), written) != page.read_text(encoding="utf-8"):
        problems.append(f"{page.name} is not what {result.name} gives; run python -m tools.backbones --page.")
    models, records = ("open_clip_torch", "timm"), written["backbones"]
    if any(versions()[name] != written["versions"][name] for name in models):
        # Other releases list other models. The table says of which ones it speaks.
        found = " and ".join(f"{name} {versions()[name]}" for name in models)
        print(f"{result.name} was made with other releases than {found}: not compared with the code.")
        return problems
    names = sorted({*records, *open_clip.list_models()}) if backbones is None else backbones
    for name in names:
        known = {key: value for key, value in records.get(name, {}).items() if key not in COUNTED}
        found_now = facts_of(name).record if name in open_clip.list_models() else {}
        different = sorted(key for key in {*known, *found_now} if known.get(key) != found_now.get(key))
        if different:
            problems.append(
                f"{result.name} is out of date: {name} has other {', '.join(different)}; run python -m tools.backbones."
            )
    return problems


def versions() -> dict[str, str]:
    """Return the installed versions of the packages that the figures depend on."""
    return {name: metadata.version(name) for name in PACKAGES}


if __name__ == "__main__":
    sys.exit(main())
