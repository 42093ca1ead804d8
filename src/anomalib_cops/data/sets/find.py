"""Look-up of data sets: by the specifications that ``ZeroShotTransfer`` takes, and by looking into a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anomalib.utils.path import get_datasets_dir

from anomalib_cops.data.sets.catalog import CATALOG
from anomalib_cops.data.sets.declaration import Declaration
from anomalib_cops.data.sets.explicit_folders import ExplicitFolderSet
from anomalib_cops.data.sets.folder import FolderSet, find_categories
from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.data.sets.meta import PREFIX, MetaSet
from anomalib_cops.data.sets.published_set import PublishedSet, normalize_name
from anomalib_cops.data.sets.synthetic_set import SyntheticSet
from anomalib_cops.errors import InputError, nearest

NAMES = ("synthetic", *CATALOG)

DataSetSpec = str | Mapping[str, Any]
"""Specification of a data set: a name, a folder, "meta:" and a file, or folders one by one."""

LabelledSet = SyntheticSet | PublishedSet | FolderSet | MetaSet | ExplicitFolderSet
"""Any data set. It has a name, an identity (equal for two that are the same data), the names of its categories, and a
method that lists the samples of one. ``has_mask_rule`` says whether it defines how its masks are read."""


DataSetSpecs = str | dict[str, Any] | list[str | dict[str, Any]]
"""Specification of one data set or of several."""


def as_list(specs: DataSetSpecs) -> list[DataSetSpec]:
    """Return one specification or several as a list."""
    several = specs if isinstance(specs, list) else [specs]
    return [each if isinstance(each, dict) else str(each) for each in several]


def find_set(spec: DataSetSpec, *, root: str | None, synthetic: SyntheticSet) -> LabelledSet:
    """Find a data set.

    Args:
        spec: One of ``NAMES`` or another name of its folder in any spelling, a folder, ``meta:`` and a file, or folders
            one by one (see :class:`~anomalib_cops.data.sets.explicit_folders.ExplicitFolderSet`).
        root: Folder of published data sets; anomalib's own folder if None.
        synthetic: The synthetic data set, which is returned if it is specified.

    Raises:
        InputError: There is no such name or folder.
    """
    if isinstance(spec, Mapping):
        return ExplicitFolderSet(spec)
    if spec in ("", PREFIX):
        raise InputError(
            f"a source or target is empty ('{spec}'); give a folder or one of the names {', '.join(NAMES)}."
        )
    if spec.lower() == "synthetic":
        return synthetic
    if spec.startswith(PREFIX):
        return MetaSet(Path(spec.removeprefix(PREFIX)).expanduser())
    declared = find_declaration(spec)
    if declared is not None:
        return PublishedSet(declared, Path(root).expanduser() if root else Path(get_datasets_dir()))
    folder = Path(spec).expanduser()
    if folder.is_dir():
        return FolderSet(folder)
    if folder.exists():
        raise InputError(f"{spec} is a file, not a data set; give a folder or one of the names {', '.join(NAMES)}.")
    if folder.name != spec:
        raise InputError(f"the folder {spec} does not exist; give one that does or a name of {', '.join(NAMES)}.")
    raise InputError(f"there is no data set or folder named '{spec}'{nearest(spec, NAMES)}")


def find_declaration(name: str) -> Declaration | None:
    """Return the declaration in the catalogue with this name or this name of its folder, in any spelling."""
    if name in CATALOG:
        return CATALOG[name]
    aliases = {normalize_name(alias): each for each in CATALOG.values() for alias in (each.name, *each.folders)}
    return aliases.get(normalize_name(name)) if Path(name).name == name else None


def discover(root: str | Path) -> tuple[str, ...]:
    """Find everything in a folder that can be a target.

    Args:
        root: Folder of all data sets.

    Returns:
        Names of published data sets and paths of other labelled folders, as ``source`` and ``target`` take them.

    Raises:
        InputError: There is no such folder.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise InputError(f"the folder {root} does not exist; give the folder of all data sets.")
    found: list[str] = []
    for child in Listing().contents(root).folders.values():
        declared = find_declaration(child.name)
        if declared and PublishedSet(declared, root).folder:
            found.append(declared.name)
        elif find_categories(child, Listing()):
            found.append(str(child))
    return tuple(dict.fromkeys(found))


def choose_categories(names: Sequence[str], sets: Sequence[LabelledSet]) -> list[tuple[str, ...]]:
    """Choose categories by name.

    Args:
        names: Names of the categories, each of any of the data sets.
        sets: The data sets.

    Returns:
        The chosen categories of each data set, in its own order.

    Raises:
        InputError: No data set has a category of that name, or a data set has none of the categories.
    """
    available = [category for each in sets for category in each.categories]
    for category in names:
        if category not in available:
            place = " and ".join(each.name for each in sets)
            raise InputError(f"there is no category '{category}' in {place}{nearest(category, available)}")
    chosen = [tuple(category for category in each.categories if category in names) for each in sets]
    for each, categories in zip(sets, chosen, strict=True):
        if not categories:
            hint = nearest(names[0], each.categories)
            raise InputError(f"{each.name} has none of the categories {', '.join(names)}{hint}")
    return chosen
