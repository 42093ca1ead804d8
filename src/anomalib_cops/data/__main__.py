"""Data sets on this disk: ``python -m anomalib_cops.data check ROOT``, ``layout [NAME]``, ``unpack ARCHIVE FOLDER``."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import Progress

from anomalib_cops.data.check import Finding, advice, check
from anomalib_cops.data.describe import page, shows
from anomalib_cops.data.masks import parse_mask_values
from anomalib_cops.data.sets.catalog import CATALOG
from anomalib_cops.data.sets.download import unpack
from anomalib_cops.data.sets.find import discover, find_declaration
from anomalib_cops.data.sets.folder import FolderSet
from anomalib_cops.data.sets.published_set import PublishedSet
from anomalib_cops.errors import InputError, exit_code, nearest

NAMED = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0; 1 if a data set cannot be used as it is; 2 if the command itself cannot be carried out.
    """
    options = parser().parse_args(arguments)
    return exit_code(lambda: options.run(options))


def parser() -> argparse.ArgumentParser:
    """Command line of this module."""
    whole = argparse.ArgumentParser(prog="python -m anomalib_cops.data", description=__doc__)
    commands = whole.add_subparsers(required=True)
    checked = commands.add_parser("check", help="look at every file of the data sets in a folder")
    checked.add_argument("root", type=Path, help="the folder of all data sets")
    checked.add_argument("--only", nargs="+", default=[], help="names of data sets to look at")
    checked.add_argument("--all", action="store_true", help=f"name all files, not the first {NAMED} of a kind")
    checked.add_argument(
        "--mask-values",
        nargs="+",
        default=None,
        metavar="LEVEL",
        help="levels of masks that are anomalous, or nonzero, as mask_values of ZeroShotTransfer",
    )
    checked.set_defaults(run=_check)
    layout = commands.add_parser("layout", help="how a data set has to lie in its folder, and where to get it")
    layout.add_argument("name", nargs="?", help="which; a list of all without")
    layout.set_defaults(run=_layout)
    unpacked = commands.add_parser("unpack", help="unpack a zip or tar archive, or refuse it as a whole")
    unpacked.add_argument("archive", type=Path)
    unpacked.add_argument("folder", type=Path, help="new folder for its content")
    unpacked.set_defaults(run=_unpack)
    return whole


def _check(options: argparse.Namespace) -> int:
    values = parse_mask_values(options.mask_values and [_number(level) for level in options.mask_values])
    found = [_found(wanted, options.root) for wanted in discover(options.root)]
    known = [each.name for each in found]
    for name in options.only:
        if name not in known:
            raise InputError(f"there is no data set '{name}' in {options.root}{nearest(name, known)}")
    found = [each for each in found if each.name in options.only or not options.only]
    if not found:
        raise InputError(f"{options.root} holds no data set; python -m anomalib_cops.data layout lists what is known.")
    findings = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for each in found:
            task = progress.add_task(each.name, total=None)
            step = partial(progress.update, task, advance=1)
            findings.append(check(each, lambda total, step=step: step(total=total), values))  # type: ignore[misc]
    print(_table(findings, options.root))
    for finding in findings:
        for line in advice(finding, at_most=sys.maxsize if options.all else NAMED):
            print(line)
    return 0 if all(finding.usable for finding in findings) else 1


def _number(level: str) -> int | str:
    return int(level) if level.isdecimal() else level


def _found(wanted: str, root: Path) -> PublishedSet | FolderSet:
    declared = CATALOG.get(wanted)
    return PublishedSet(declared, root) if declared else FolderSet(Path(wanted))


def _table(findings: Sequence[Finding], root: Path) -> str:
    rows = [
        {
            "data set": each.name,
            "folder": each.folder.name if not each.folder.samefile(root) else ".",
            "categories": each.categories,
            "normal": _of(each.normal, each.expected and each.expected[0]),
            "anomalous": _of(each.anomalous, each.expected and each.expected[1]),
            "masks": each.masks,
            "": each.verdict,
        }
        for each in findings
    ]
    return f"{pd.DataFrame(rows).to_string(index=False)}\n"


def _of(found: int, expected: int | None) -> str:
    return str(found) if expected is None else f"{found} of {expected}"


def _layout(options: argparse.Namespace) -> int:
    if options.name is None:
        width = max(map(len, CATALOG))
        for each in CATALOG.values():
            print(f"{each.name:<{width}}  {each.title}: {shows(each)}")
        return 0
    declared = find_declaration(options.name)
    if declared is None:
        raise InputError(f"there is no data set '{options.name}' in the catalogue{nearest(options.name, CATALOG)}")
    print(page(declared))
    return 0


def _unpack(options: argparse.Namespace) -> int:
    print(unpack(options.archive, options.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
