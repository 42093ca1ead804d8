"""Names of data sets and backbones: in settings, in tables and in paths."""

import re
from pathlib import Path

SYNTHETIC = "synthetic"
STAND_INS = ("tiny", "tiny-looks")
"""Backbones that come with the package, for checks. The package is not asked for them here, as that imports torch."""
BETWEEN_SOURCES = " + "
"""Between the names of data sets that are trained on together."""


def identity(name: str, root: Path | None) -> str:
    """Return the name under which settings know a data set; it stays the same when the root folder moves.

    Args:
        name: Name of a data set, or a folder.
        root: Folder of data sets.

    Returns:
        The name itself, the folder's path below the root, or its absolute path if it is elsewhere.
    """
    path = Path(name).expanduser()
    # A bare word is taken as it is: a folder of that name in the working directory shall not change a fingerprint.
    if path.name == name or not path.is_dir():
        return name
    path = path.resolve()
    if root is not None and path.is_relative_to(root.resolve()):
        return path.relative_to(root.resolve()).as_posix()
    return path.as_posix()


def last_name(identity: str) -> str:
    """Return the last part of a path."""
    return identity.rstrip("/").rsplit("/", 1)[-1]


def slug(name: str) -> str:
    """Turn a name into a part of a path: lower-case letters, digits, dots and hyphens."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "x"
