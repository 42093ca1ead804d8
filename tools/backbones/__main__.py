"""Write ``docs/results/backbones.json`` and the tables of ``docs/backbones.md``: ``python -m tools.backbones``.

Every model that open_clip lists, and every image tower of timm that is supported, is built without weights, and the
operations of one image are counted. This takes about ten minutes on one core. With ``--check``, nothing is counted or
written: it fails if the page is not what the file gives, or if the file is not what the code says of support, settings,
parameters, native sizes, tags and licences, and takes about a minute. With ``--page``, the page alone is written from
the file.
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

from anomalib_cops.encoder import image_only_names
from anomalib_cops.files import write_json, write_text
from benchmark.speed.weightless import gflop_of_both_paths, gflop_of_encode_image
from tools.backbones.facts import facts_of
from tools.backbones.methods import gflop_of_method, method_on
from tools.backbones.page import filled_page

ROOT = Path(__file__).resolve().parents[2]
PAGE, RESULT = ROOT / "docs/backbones.md", ROOT / "docs/results/backbones.json"
PACKAGES = ("open_clip_torch", "timm", "torch")
COUNTED_MODELS = {"CoPS": "cops_gflop", "LinearProbe": "linear_probe_gflop"}
"""Models that are counted, and the entry of a record that each of them has."""
COUNTED = (*COUNTED_MODELS.values(), "both_paths_gflop", "encode_image_gflop")
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
        write_json(RESULT, measure(listed()))
    write_text(PAGE, filled_page(PAGE.read_text(encoding="utf-8"), json.loads(RESULT.read_text(encoding="utf-8"))))
    return 0


def measure(backbones: Sequence[str]) -> dict[str, Any]:
    """Return the records of backbones, with the operations of one image, and the versions that they come from."""
    start = time.monotonic()
    return {"versions": versions(), "backbones": {name: counted(name) for name in backbones}} | {
        "minutes": round((time.monotonic() - start) / 60, 1)
    }


def counted(backbone: str) -> dict[str, Any]:
    """Return the record of a backbone, with the GFLOP of one image: of CoPS, both paths and ``encode_image``.

    Of an image tower alone, they are those of the linear probe and of ``encode_image``.
    """
    print(backbone, file=sys.stderr, flush=True)
    facts = facts_of(backbone)
    if facts.clip is None:
        return facts.record
    model = "CoPS" if facts.clip.tokenizer else "LinearProbe"
    settings = facts.record["methods"][model]
    if settings is None:
        return facts.record
    gflop = {COUNTED_MODELS[model]: gflop_of_method(method_on(facts.clip, model, **settings))}
    if facts.clip.tokenizer:
        gflop["both_paths_gflop"] = gflop_of_both_paths(facts.clip)
    gflop["encode_image_gflop"] = gflop_of_encode_image(facts.clip)
    return facts.record | {name: round(value, 3) for name, value in gflop.items()}


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
    now = listed()
    names = sorted({*records, *now}) if backbones is None else backbones
    for name in names:
        known = {key: value for key, value in records.get(name, {}).items() if key not in COUNTED}
        found_now = facts_of(name).record if name in now else {}
        different = sorted(key for key in {*known, *found_now} if known.get(key) != found_now.get(key))
        if different:
            problems.append(
                f"{result.name} is out of date: {name} has other {', '.join(different)}; run python -m tools.backbones."
            )
    return problems


def listed() -> list[str]:
    """Return the names of open_clip's models, followed by those of timm that are image towers alone."""
    return [*open_clip.list_models(), *image_only_names()]


def versions() -> dict[str, str]:
    """Return the installed versions of the packages that the figures depend on."""
    return {name: metadata.version(name) for name in PACKAGES}


if __name__ == "__main__":
    sys.exit(main())
