"""Data sets on this disk: ``python -m anomalib_cops.data check ROOT``, ``layout [NAME]``, ``unpack ARCHIVE FOLDER``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import Progress

from anomalib_cops.data.check import check
from anomalib_cops.data.describe import page, shown_categories
from anomalib_cops.data.finding import Finding, advice
from anomalib_cops.data.masks import MaskValues, parse_mask_values
from anomalib_cops.data.sets.archives import unpack
from anomalib_cops.data.sets.catalog import CATALOG
from anomalib_cops.data.sets.find import discover, find_declaration
from anomalib_cops.data.sets.folder import FolderSet
from anomalib_cops.data.sets.published_set import PublishedSet
from anomalib_cops.errors import InputError, exit_code, nearest

NAMED = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0; 1 if a data set cannot be used as it is; 2 if the command cannot be carried out.
    """
    options = parser().parse_args(arguments)
    return exit_code(lambda: options.run(options))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    command_line = argparse.ArgumentParser(prog="python -m anomalib_cops.data", description=__doc__)
    commands = command_line.add_subparsers(required=True)
    checked = commands.add_parser("check", help="check every file of the data sets in a folder")
    checked.add_argument("root", type=Path, help="the folder of all data sets")
    checked.add_argument("--only", nargs="+", default=[], help="names of data sets to check")
    checked.add_argument(
        "--all", action="store_true", help=f"name all files, not only the first {NAMED} of each kind of problem"
    )
    checked.add_argument(
        "--mask-values",
        nargs="+",
        default=None,
        metavar="LEVEL",
        help="levels of masks that are anomalous, or nonzero, as mask_values of ZeroShotTransfer",
    )
    checked.set_defaults(run=_check)
    layout = commands.add_parser("layout", help="show the layout of a data set and where to get it")
    layout.add_argument("name", nargs="?", help="name of the data set; without it, list all")
    layout.set_defaults(run=_layout)
    unpacked = commands.add_parser("unpack", help="unpack a zip or tar archive, or refuse it as a whole")
    unpacked.add_argument("archive", type=Path)
    unpacked.add_argument("folder", type=Path, help="new folder for its content")
    unpacked.set_defaults(run=_unpack)
    return command_line


def _check(options: argparse.Namespace) -> int:
    values = parse_mask_values(options.mask_values and [_number(level) for level in options.mask_values])
    found = [_open_set(name, options.root) for name in discover(options.root)]
    names = [each.name for each in found]
    for name in options.only:
        if name not in names:
            raise InputError(f"there is no data set '{name}' in {options.root}{nearest(name, names)}")
    found = [each for each in found if each.name in options.only or not options.only]
    if not found:
        raise InputError(f"{options.root} holds no data set; python -m anomalib_cops.data layout lists the known ones.")
    with Progress(console=Console(stderr=True), transient=True) as progress:
        findings = [_check_set(each, progress, values) for each in found]
    print(_table(findings, options.root))
    for finding in findings:
        for line in advice(finding, at_most=sys.maxsize if options.all else NAMED):
            print(line)
    return 0 if all(finding.usable for finding in findings) else 1


def _check_set(found: PublishedSet | FolderSet, progress: Progress, values: MaskValues) -> Finding:
    task = progress.add_task(found.name, total=None)
    return check(found, lambda total: progress.update(task, total=total, advance=1), values)


def _number(level: str) -> int | str:
    return int(level) if level.isdecimal() else level


def _open_set(name: str, root: Path) -> PublishedSet | FolderSet:
    declared = CATALOG.get(name)
    return PublishedSet(declared, root) if declared else FolderSet(Path(name))


def _table(findings: Sequence[Finding], root: Path) -> str:
    rows = [
        {
            "data set": each.name,
            "folder": each.folder.name if not each.folder.samefile(root) else ".",
            "categories": each.categories,
            "normal": _count(each.normal, each.expected and each.expected[0]),
            "anomalous": _count(each.anomalous, each.expected and each.expected[1]),
            "masks": each.masks,
            "": each.verdict,
        }
        for each in findings
    ]
    return f"{pd.DataFrame(rows).to_string(index=False)}\n"


def _count(found: int, expected: int | None) -> str:
    return str(found) if expected is None else f"{found} of {expected}"


def _layout(options: argparse.Namespace) -> int:
    if options.name is None:
        width = max(map(len, CATALOG))
        for each in CATALOG.values():
            print(f"{each.name:<{width}}  {each.title}: {shown_categories(each)}")
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
