"""What can be tested below a folder.

Stands in for ``anomalib_cops.data.discover`` where that is not there.
"""

from pathlib import Path

import anomalib_cops.data
from anomalib_cops.data.folder import FolderSet
from anomalib_cops.errors import InputError


def discover(root: Path) -> tuple[str, ...]:
    """Names and folders of the labelled data sets below a folder, as ``ZeroShotTransfer`` takes them for targets.

    Raises:
        InputError: There is none.
    """
    known = getattr(anomalib_cops.data, "discover", _folders)
    found: tuple[str, ...] = tuple(known(root))
    if not found:
        raise InputError(f"there are no labelled data sets in {root}; see docs/data.md for how they are laid out.")
    return found


def _folders(root: Path) -> tuple[str, ...]:
    found = []
    for folder in sorted(each for each in root.iterdir() if each.is_dir() and not each.name.startswith(".")):
        try:
            FolderSet(folder)
        except InputError:
            continue
        found.append(str(folder))
    return tuple(found)
