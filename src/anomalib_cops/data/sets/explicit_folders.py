"""A data set whose folders are given one by one, as to anomalib's ``Folder``."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pandas import DataFrame

from anomalib_cops.data.images import IMAGE_SUFFIXES
from anomalib_cops.data.masks import parse_mask_values
from anomalib_cops.data.sets.category_folders import CategoryFolders
from anomalib_cops.data.sets.index import load_or_list
from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.data.sets.samples import complete, with_mask_values
from anomalib_cops.errors import InputError, nearest

ARGUMENTS = (
    *("name", "normal_dir", "abnormal_dir", "mask_dir", "normal_test_dir", "root", "extensions"),
    "mask_values",
)
NEEDED = ("name", "abnormal_dir")


class ExplicitFolderSet:
    """One category in folders of any names.

    Args:
        given: ``name`` and ``abnormal_dir``, and ``normal_dir`` or ``mask_dir`` or both; as wanted ``normal_test_dir``,
            ``root``, to which folders are relative, ``extensions`` of images and masks, and ``mask_values``. A folder
            may be a list of folders. Masks have the names of their images; any grey level of a mask but 0 is anomalous
            unless ``mask_values`` says which. What is empty counts as not given.

    Raises:
        InputError: An argument is unknown, missing or not understood, or a folder does not exist.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        for key in given:
            if key not in ARGUMENTS:
                raise InputError(f"a data set of given folders takes no '{key}'{nearest(key, ARGUMENTS)}")
        for key in NEEDED:
            if not given.get(key):
                raise InputError(f"a data set of given folders needs '{key}'; it takes {', '.join(ARGUMENTS)}.")
        if not given.get("normal_dir") and not given.get("mask_dir"):
            raise InputError(
                "a data set of given folders needs 'normal_dir', or 'mask_dir' to be measured by pixels alone; it "
                f"takes {', '.join(ARGUMENTS)}."
            )
        root = Path(given.get("root") or ".").expanduser()
        folders = {key: _folders(key, given.get(key), root) for key in ARGUMENTS if key.endswith("_dir")}
        self.name = str(given["name"])
        self.categories: tuple[str, ...] = (self.name,)
        self._parts = CategoryFolders(
            folder=Path(os.path.abspath(root)),
            good=folders["normal_dir"] + folders["normal_test_dir"],
            defects=folders["abnormal_dir"],
            masks=folders["mask_dir"],
            mask_above=0,
            suffixes=_suffixes(given.get("extensions")),
        )
        self._labels = (0, 1) if self._parts.good else (1,)
        self._values = parse_mask_values(given.get("mask_values"))
        self.has_mask_rule = self._values is not None
        self.identity = os.pathsep.join(os.path.realpath(folder) for each in folders.values() for folder in each)
        self._key = json.dumps({key: str(value) for key, value in given.items()}, sort_keys=True)

    def listed(self, category: str, listing: Listing) -> DataFrame:
        """What there is, complete or not."""
        return self._parts.read(self.name, category, listing)

    def samples(self, category: str) -> DataFrame:
        """Lists all images: a row each, as ``LabelledImages`` takes them.

        Raises:
            InputError: Normal or anomalous images are missing, or masks of some anomalous images.
        """
        samples = load_or_list(self._parts.folder, self._key, category, lambda listing: self.listed(category, listing))
        expected = f"{', '.join(self._parts.suffixes[:3])} files, or the like, in normal_dir and abnormal_dir"
        masks = self._parts.describe_masks
        complete(samples, self.name, labels=self._labels, expected=expected, masks=masks)
        return with_mask_values(samples, self._values)


def _folders(key: str, given: Any, root: Path) -> tuple[Path, ...]:
    several = given if isinstance(given, (list, tuple)) else [given] if given else []
    if not all(isinstance(folder, (str, os.PathLike)) and str(folder) for folder in several):
        raise InputError(f"{key}={given} is not understood; give a folder or a list of folders.")
    folders = tuple(Path(os.path.abspath(root / Path(folder).expanduser())) for folder in several)
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{key}={folder} is not a folder; give one that exists.")
    return folders


def _suffixes(given: Any) -> tuple[str, ...]:
    several = [given] if isinstance(given, str) and given else given or IMAGE_SUFFIXES
    suffixes = tuple(f".{str(suffix).lower().removeprefix('.')}" for suffix in several)
    if "." in suffixes:
        raise InputError(f"extensions={given} has an empty one; give a list like ['.png', '.jpg'].")
    return suffixes
