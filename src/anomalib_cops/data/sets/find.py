"""What ``source`` and ``target`` of ``ZeroShotTransfer`` can be, and what of it lies in a folder."""

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
from anomalib_cops.data.sets.published_set import PublishedSet, plain
from anomalib_cops.data.sets.synthetic_set import SyntheticSet
from anomalib_cops.errors import InputError, nearest

NAMES = ("synthetic", *CATALOG)

# A name, a folder, "meta:" and a file, or folders one by one.
DataSetSpec = str | Mapping[str, Any]


# Each has a name, an identity (equal for two that are the same data), categories, and lists the samples of one. If it
# has_mask_rule, it says itself how its masks are read.
LabelledSet = SyntheticSet | PublishedSet | FolderSet | MetaSet | ExplicitFolderSet


def find_set(wanted: DataSetSpec, *, root: str | None, synthetic: SyntheticSet) -> LabelledSet:
    """Finds a data set.

    Args:
        wanted: One of ``NAMES`` or another name of its folder in any spelling, a folder, ``meta:`` and a file, or
            folders one by one (see :class:`~anomalib_cops.data.sets.explicit_folders.ExplicitFolderSet`).
        root: Where published data sets are; anomalib's own folder when not given.
        synthetic: The synthetic world, should it be wanted.

    Raises:
        InputError: No such name or folder.
    """
    if isinstance(wanted, Mapping):
        return ExplicitFolderSet(wanted)
    if wanted in ("", PREFIX):
        raise InputError(
            f"a source or target is empty ('{wanted}'); give a folder or one of the names {', '.join(NAMES)}."
        )
    if wanted.lower() == "synthetic":
        return synthetic
    if wanted.startswith(PREFIX):
        return MetaSet(Path(wanted.removeprefix(PREFIX)).expanduser())
    declared = find_declaration(wanted)
    if declared is not None:
        return PublishedSet(declared, Path(root).expanduser() if root else Path(get_datasets_dir()))
    folder = Path(wanted).expanduser()
    if folder.is_dir():
        return FolderSet(folder)
    if folder.exists():
        raise InputError(f"{wanted} is a file, not a data set; give a folder or one of the names {', '.join(NAMES)}.")
    if folder.name != wanted:
        raise InputError(f"the folder {wanted} does not exist; give one that does or a name of {', '.join(NAMES)}.")
    raise InputError(f"there is no data set or folder named '{wanted}'{nearest(wanted, NAMES)}")


def find_declaration(name: str) -> Declaration | None:
    """The set of the catalogue that has this name, or whose folder is called so."""
    if name in CATALOG:
        return CATALOG[name]
    known = {plain(alias): each for each in CATALOG.values() for alias in (each.name, *each.folders)}
    return known.get(plain(name)) if Path(name).name == name else None


def discover(root: str | Path) -> tuple[str, ...]:
    """Everything in a folder that can be a target.

    Args:
        root: Where data sets are.

    Returns:
        Names of the catalogue's sets and paths of other labelled folders, as ``source`` and ``target`` take them.

    Raises:
        InputError: There is no such folder.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise InputError(f"the folder {root} does not exist; give the folder of all data sets.")
    found: list[str] = []
    for child in Listing().look(root).folders.values():
        declared = find_declaration(child.name)
        if declared and PublishedSet(declared, root).folder:
            found.append(declared.name)
        elif find_categories(child, Listing()):
            found.append(str(child))
    return tuple(dict.fromkeys(found))


def choose(wanted: Sequence[str], sets: Sequence[LabelledSet]) -> list[tuple[str, ...]]:
    """Shares out the wanted categories among data sets, in the order of each set; each gets those that it has.

    Raises:
        InputError: A category that none has, or a data set that has none of them.
    """
    known = [category for each in sets for category in each.categories]
    names = " and ".join(each.name for each in sets)
    for category in wanted:
        if category not in known:
            raise InputError(f"there is no category '{category}' in {names}{nearest(category, known)}")
    chosen = [tuple(category for category in each.categories if category in wanted) for each in sets]
    for each, share in zip(sets, chosen, strict=True):
        if not share:
            hint = nearest(wanted[0], each.categories)
            raise InputError(f"{each.name} has none of the categories {', '.join(wanted)}{hint}")
    return chosen
