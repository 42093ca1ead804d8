"""A data set whose folders are named one by one, as for anomalib's ``Folder``."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pandas import DataFrame

from anomalib_cops.data.masks import parse_mask_values
from anomalib_cops.data.sets.category_folders import CategoryFolders
from anomalib_cops.data.sets.index import load_or_list
from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.data.sets.samples import MaskUse, require_complete, with_mask_values
from anomalib_cops.errors import InputError, nearest
from anomalib_cops.images.reading import IMAGE_SUFFIXES

ARGUMENTS = (
    *("name", "normal_dir", "abnormal_dir", "mask_dir", "normal_test_dir", "root", "extensions"),
    "mask_values",
)
REQUIRED = ("name", "abnormal_dir")


class ExplicitFolderSet:
    """A data set of one category in folders of any names.

    Args:
        arguments: ``name``, ``abnormal_dir``, and ``normal_dir`` or ``mask_dir`` or both; optionally
            ``normal_test_dir``, ``root`` (folders are relative to it), ``extensions`` of images and masks, and
            ``mask_values``. A folder may be a list of folders. Masks have the names of their images; any level of a
            mask but 0 is anomalous, unless ``mask_values`` names the levels. Empty values count as missing.

    Raises:
        InputError: An argument is unknown, missing or not understood, or a folder does not exist.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        _check_arguments(arguments)
        root = Path(arguments.get("root") or ".").expanduser()
        folders = {key: _folders(key, arguments.get(key), root) for key in ARGUMENTS if key.endswith("_dir")}
        self.name = str(arguments["name"])
        self.categories: tuple[str, ...] = (self.name,)
        self._folders = CategoryFolders(
            folder=Path(os.path.abspath(root)),
            good=folders["normal_dir"] + folders["normal_test_dir"],
            defects=folders["abnormal_dir"],
            masks=folders["mask_dir"],
            mask_above=0,
            suffixes=_suffixes(arguments.get("extensions")),
        )
        self._labels = (0, 1) if self._folders.good else (1,)
        self._values = parse_mask_values(arguments.get("mask_values"))
        self.has_mask_rule = self._values is not None
        self.identity = os.pathsep.join(os.path.realpath(folder) for each in folders.values() for folder in each)
        self._key = json.dumps({key: str(value) for key, value in arguments.items()}, sort_keys=True)

    def find_samples(self, category: str, listing: Listing) -> DataFrame:
        """Return the table of the category, which may be incomplete."""
        return self._folders.read(self.name, category, listing)

    def samples(self, category: str, masks: MaskUse | None = None) -> DataFrame:
        """List all images: one row per image, as ``LabelledImages`` takes them.

        Args:
            category: Name of the category.
            masks: Masks that a training uses; None for a target, which needs all of its masks.

        Raises:
            InputError: Normal or anomalous images are missing, or masks of some anomalous images.
        """
        folders = self._folders
        samples = load_or_list(
            folders.folder, self._key, category, lambda listing: self.find_samples(category, listing)
        )
        require_complete(
            samples,
            self.name,
            labels=self._labels,
            expected=f"{', '.join(folders.suffixes[:3])} files, or the like, in normal_dir and abnormal_dir",
            masks=masks,
            describe_masks=folders.describe_masks,
            unused_masks=lambda: folders.unused_masks(samples, Listing()),
        )
        return with_mask_values(samples, self._values)


def _check_arguments(arguments: Mapping[str, Any]) -> None:
    for key in arguments:
        if key not in ARGUMENTS:
            raise InputError(f"a data set of given folders takes no '{key}'{nearest(key, ARGUMENTS)}")
    for key in REQUIRED:
        if not arguments.get(key):
            raise InputError(f"a data set of given folders needs '{key}'; it takes {', '.join(ARGUMENTS)}.")
    if not arguments.get("normal_dir") and not arguments.get("mask_dir"):
        raise InputError(
            "a data set of given folders needs 'normal_dir', or 'mask_dir' to be measured by pixels alone; it "
            f"takes {', '.join(ARGUMENTS)}."
        )


def _folders(key: str, value: Any, root: Path) -> tuple[Path, ...]:
    several = value if isinstance(value, (list, tuple)) else [value] if value else []
    if not all(isinstance(folder, (str, os.PathLike)) and str(folder) for folder in several):
        raise InputError(f"{key}={value} is not understood; give a folder or a list of folders.")
    folders = tuple(Path(os.path.abspath(root / Path(folder).expanduser())) for folder in several)
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{key}={folder} is not a folder; give one that exists.")
    return folders


def _suffixes(value: Any) -> tuple[str, ...]:
    several = [value] if isinstance(value, str) and value else value or IMAGE_SUFFIXES
    suffixes = tuple(f".{str(suffix).lower().removeprefix('.')}" for suffix in several)
    if "." in suffixes:
        raise InputError(f"extensions={value} has an empty one; give a list like ['.png', '.jpg'].")
    return suffixes
