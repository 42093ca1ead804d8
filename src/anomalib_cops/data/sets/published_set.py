"""A data set of the catalogue as it lies on this disk."""

import re
from functools import cached_property
from pathlib import Path

from pandas import DataFrame

from anomalib_cops.data.sets.declaration import Declaration
from anomalib_cops.data.sets.download import download
from anomalib_cops.data.sets.folder import FolderSet, find_categories
from anomalib_cops.data.sets.index import load_or_list
from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.data.sets.samples import MaskUse, require_complete, sample_table
from anomalib_cops.errors import InputError


class PublishedSet:
    """A published data set below a root folder.

    Args:
        declared: Its declaration.
        root: The folder of all data sets, or that of this one.
    """

    def __init__(self, declared: Declaration, root: Path) -> None:
        self.declared = declared
        self.name = declared.name
        self.identity = declared.name
        self.root = root

    @property
    def folder(self) -> Path | None:
        """Folder of the data set; None if it is not there."""
        return self._location[0]

    @property
    def categories(self) -> tuple[str, ...]:
        """The declared categories; if the folder has another layout, those that are there."""
        folder_set = self._folder_set
        if folder_set is None:
            return self.declared.categories or (self.declared.class_name,)
        if self.declared.class_name and len(folder_set.categories) == 1:
            return (self.declared.class_name,)
        return folder_set.categories

    @property
    def has_mask_rule(self) -> bool:
        """Whether masks are read as published; not if the folder has the layout of a user's own data set."""
        return self._folder_set is None

    def fetch(self) -> None:
        """Let anomalib download the data set if it is missing and anomalib can download it.

        Raises:
            InputError: The server cannot be reached, or the archive is not the published one.
        """
        if self.folder is None and self.declared.download:
            download(self.declared.download, self.root / self.declared.folders[0])
            del self._location

    def find_samples(self, category: str, listing: Listing) -> DataFrame:
        """Return the table of a category, which may be incomplete.

        Raises:
            InputError: Nothing of the category is there.
        """
        folder = self.folder
        if folder is None:
            raise InputError(self._absent(self.root / self.declared.folders[0]))
        if self._folder_set is not None:
            # A data set of one category may call it otherwise than its folder.
            names = self._folder_set.categories
            own = category if category in names else names[0]
            return self._folder_set.find_samples(own, listing).assign(set=self.name, category=category)
        for layout in self.declared.layouts:
            if rows := layout.read(folder, category, listing):
                break
        else:
            raise InputError(self._absent(folder / category if self.declared.categories else folder))
        masked, above = self.declared.has_masks, self.declared.mask_above
        return sample_table(rows, name=self.name, category=category, masked=masked, mask_above=above)

    def samples(self, category: str, masks: MaskUse | None = None) -> DataFrame:
        """List the labelled part of a category: one row per image, as ``LabelledImages`` takes them.

        Args:
            category: Name of the category.
            masks: Masks that a training uses; None for a target, which needs all of its masks.

        Raises:
            InputError: The category or a part of it is missing.
        """
        folder = self.folder or self.root
        samples = load_or_list(folder, self.name, category, lambda listing: self.find_samples(category, listing))
        return require_complete(
            samples,
            f"{self.declared.title}, {category}, in {folder}",
            labels=self.declared.labels,
            expected=f"those that {_layout_command(self.declared)} shows",
            masks=masks,
        )

    @property
    def _folder_set(self) -> FolderSet | None:
        return self._location[1]

    @cached_property
    def _location(self) -> tuple[Path | None, FolderSet | None]:
        """The folder, and a data set found by looking into it if none of the declared layouts fits."""
        children = Listing().contents(self.root).folders.values() if self.root.is_dir() else ()
        by_name = {normalize_name(child.name): child for child in children}
        names = [normalize_name(name) for name in self.declared.folders]
        for folder in (by_name[name] for name in names if name in by_name):
            if self._has_declared_layout(folder):
                return folder, None
            if find_categories(folder, Listing()):
                return folder, FolderSet(folder)
        return (self.root if self._has_declared_layout(self.root) else None), None

    def _has_declared_layout(self, folder: Path) -> bool:
        """Tell whether any category is in the folder in one of the declared layouts."""
        listing = Listing()
        names = self.declared.categories or (self.declared.class_name,)
        return folder.is_dir() and any(
            layout.present(folder, name, listing) for layout in self.declared.layouts for name in names
        )

    def _absent(self, expected: Path) -> str:
        return (
            f"{self.declared.title} is expected in {expected}, but nothing of it is there; get it from "
            f"{self.declared.home}, set root to the folder of all data sets, or name only categories that are there; "
            f"{_layout_command(self.declared)} shows how it should lie."
        )


def normalize_name(name: str) -> str:
    """Return a name in lower case without spaces and punctuation, by which folders are recognised."""
    return re.sub(r"[\W_]", "", name.casefold())


def _layout_command(declared: Declaration) -> str:
    return f"python -m anomalib_cops.data layout {declared.name}"
