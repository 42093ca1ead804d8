"""A set of the catalogue as it lies on this disk."""

import re
from functools import cached_property
from pathlib import Path

from pandas import DataFrame

from anomalib_cops.data.sets.declaration import Declaration
from anomalib_cops.data.sets.download import download
from anomalib_cops.data.sets.folder import FolderSet, find_categories
from anomalib_cops.data.sets.index import load_or_list
from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.data.sets.samples import complete, table
from anomalib_cops.errors import InputError


class PublishedSet:
    """A published data set below a root folder.

    Args:
        declared: Which.
        root: The folder of all data sets, or the set's own.
    """

    def __init__(self, declared: Declaration, root: Path) -> None:
        self.declared = declared
        self.name = declared.name
        self.identity = declared.name
        self.root = root

    @property
    def folder(self) -> Path | None:
        """Where it is; none if it is not there."""
        return self._place[0]

    @property
    def categories(self) -> tuple[str, ...]:
        """The declared ones; for the layout good/defect/mask, those that are there."""
        _, plain_set = self._place
        if plain_set is None:
            return self.declared.categories or (self.declared.class_name,)
        if self.declared.class_name and len(plain_set.categories) == 1:
            return (self.declared.class_name,)
        return plain_set.categories

    @property
    def has_mask_rule(self) -> bool:
        """Whether its masks are as published; not where it lies as a user's own set does."""
        return self._place[1] is None

    def fetch(self) -> None:
        """Have anomalib download the set if it is not there and can be downloaded.

        Raises:
            InputError: It cannot be reached, or what came is not what was published.
        """
        if self.folder is None and self.declared.download:
            download(self.declared.download, self.root / self.declared.folders[0])
            del self._place

    def listed(self, category: str, listing: Listing) -> DataFrame:
        """What there is of a category, complete or not.

        Raises:
            InputError: There is nothing of it.
        """
        folder, plain_set = self._place
        if folder is None:
            raise InputError(self._absent(self.root / self.declared.folders[0]))
        if plain_set is not None:
            [own] = [category] if category in plain_set.categories else plain_set.categories
            return plain_set.listed(own, listing).assign(set=self.name, category=category)
        for layout in self.declared.layouts:
            if rows := layout.read(folder, category, listing):
                break
        else:
            raise InputError(self._absent(folder / category if self.declared.categories else folder))
        masked, above = self.declared.has_masks, self.declared.mask_above
        return table(rows, name=self.name, category=category, masked=masked, mask_above=above)

    def samples(self, category: str) -> DataFrame:
        """Lists the labelled part of one category: a row per image, as ``LabelledImages`` takes them.

        Raises:
            InputError: The category or a part of it is not there.
        """
        folder = self.folder or self.root
        samples = load_or_list(folder, self.name, category, lambda listing: self.listed(category, listing))
        place = f"{self.declared.title}, {category}, in {folder}"
        return complete(samples, place, labels=self.declared.labels, expected=f"those that {_how(self.declared)} shows")

    @cached_property
    def _place(self) -> tuple[Path | None, FolderSet | None]:
        """Its folder, and that as a plain set where no declared layout fits."""
        children = Listing().look(self.root).folders.values() if self.root.is_dir() else ()
        named = {plain(child.name): child for child in children}
        for folder in (named[plain(name)] for name in self.declared.folders if plain(name) in named):
            if self._is_declared(folder):
                return folder, None
            if find_categories(folder, Listing()):
                return folder, FolderSet(folder)
        return (self.root if self._is_declared(self.root) else None), None

    def _is_declared(self, folder: Path) -> bool:
        """Whether anything of the set lies there in one of its layouts."""
        listing = Listing()
        names = self.declared.categories or (self.declared.class_name,)
        return folder.is_dir() and any(
            layout.present(folder, name, listing) for layout in self.declared.layouts for name in names
        )

    def _absent(self, expected: Path) -> str:
        return (
            f"{self.declared.title} is expected in {expected}, but nothing of it is there; get it from "
            f"{self.declared.home}, set root to the folder of all data sets, or name only categories that are there; "
            f"{_how(self.declared)} shows how it should lie."
        )


def plain(name: str) -> str:
    """A name without case, spaces and punctuation, by which folders are recognised."""
    return re.sub(r"[\W_]", "", name.casefold())


def _how(declared: Declaration) -> str:
    return f"python -m anomalib_cops.data layout {declared.name}"
