"""A data set in a folder of any name, whose images and masks are found by the names of the sub-folders.

Three layouts are recognised: ``<set>/<category>/{good,defect,mask}/``, the same without categories, and that of
MVTec AD (``test/good``, ``test/<kind>``, ``ground_truth/<kind>`` in each category). Other usual names serve as well
(``OK``, ``NG``, ``pass``, ``fail``). A mask has the stem of its image, alone or with one of ``MASK_ENDINGS``.
"""

import logging
import os
from pathlib import Path

from pandas import DataFrame

from anomalib_cops.data.sets.category_folders import CategoryFolders
from anomalib_cops.data.sets.index import load_or_list
from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.data.sets.samples import MaskUse, abbreviate, require_complete
from anomalib_cops.errors import InputError
from anomalib_cops.images.reading import IMAGE_SUFFIXES

GOOD = ("good", "normal", "ok", "pass", "passed")
DEFECT = (
    *("defect", "defects", "defective", "bad", "anomaly", "anomalous", "abnormal", "ko"),
    *("ng", "nok", "not_ok", "not_good", "fail", "failed"),
)
# Numbers are names of labels only if a folder has just these two.
NUMBERS = ("0", "1")
MASK = ("mask", "masks", "ground_truth", "groundtruth", "gt")

EXPECTED = f"{', '.join(IMAGE_SUFFIXES[:3])} files, or the like, in folders named like 'good' and 'defect'"

logger = logging.getLogger(__name__)


class FolderSet:
    """A labelled data set in a folder.

    Args:
        folder: The folder.

    Raises:
        InputError: The folder contains no labelled images.
    """

    has_mask_rule = False

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.name = self.folder.name
        self.identity = os.path.realpath(folder)
        listing = Listing()
        self._found = find_categories(self.folder, listing)
        if not self._found:
            raise InputError(
                f"{folder} holds no labelled images; expected are folders good and defect (and mask) in it or in each "
                f"of its sub-folders, or test/good, test/<kind> and ground_truth/<kind>, but {_children(self.folder)}; "
                "rename them, or name them one by one: {name: ..., normal_dir: ..., abnormal_dir: ..., mask_dir: ...}."
            )
        self.categories = tuple(sorted(self._found))
        for child in listing.contents(self.folder).folders.values():
            inside = listing.contents(child).folders.values()
            if self.name not in self._found and child.name not in self._found and any(map(_has_images, inside)):
                logger.warning("%s is left out as no category is recognised in it: %s.", child, _children(child))

    def find_samples(self, category: str, listing: Listing) -> DataFrame:
        """Return the table of a category, which may be incomplete.

        Raises:
            InputError: There is a folder of masks, but no masks in it.
        """
        return self._found[category].read(self.name, category, listing)

    def labels(self, category: str, samples: DataFrame) -> tuple[int, ...]:
        """Return the labels that there have to be; with masks, normal images and their folder may be missing."""
        return (1,) if samples["masked"].all() and not self._found[category].good else (0, 1)

    def unused_masks(self, category: str, samples: DataFrame) -> list[str]:
        """Return the masks of a category that belong to none of its images."""
        return self._found[category].unused_masks(samples, Listing())

    def samples(self, category: str, masks: MaskUse | None = None) -> DataFrame:
        """List a category: one row per image, as ``LabelledImages`` takes them; ``masked`` tells whether masks exist.

        Warn if normal images are missing and may be in a folder that is not recognised.

        Args:
            category: Name of the category.
            masks: Masks that a training uses; None for a target, which needs all of its masks.

        Raises:
            InputError: Normal or anomalous images are missing, or masks of some anomalous images.
        """
        samples = load_or_list(self.folder, self.name, category, lambda listing: self.find_samples(category, listing))
        folders, labels = self._found[category], self.labels(category, samples)
        expected = f"{EXPECTED}; {_children(folders.folder)}"
        samples = require_complete(
            samples,
            folders.folder,
            labels=labels,
            expected=expected,
            masks=masks,
            describe_masks=folders.describe_masks,
            unused_masks=lambda: self.unused_masks(category, samples),
        )
        if 0 not in labels and _has_other_folders(folders):
            logger.warning(
                "No folder of normal images is recognised in %s, %s: only pixels can be measured.",
                *(folders.folder, _children(folders.folder)),
            )
        return samples


def find_categories(folder: Path, listing: Listing) -> dict[str, CategoryFolders]:
    """Find the categories in a folder, or the folder itself if it is one, by name; empty if there are none.

    Raises:
        InputError: A folder cannot be listed.
    """
    whole = _recognize(folder, listing)
    if whole:
        return {folder.name: whole}
    found = {child.name: _recognize(child, listing) for child in listing.contents(folder).folders.values()}
    return {name: folders for name, folders in found.items() if folders}


def _recognize(folder: Path, listing: Listing) -> CategoryFolders | None:
    """Return the folders of a category if a folder has one of the layouts; else None."""
    children = listing.contents(folder).folders
    masks = _named(children, MASK)
    good, defects = _named(children, GOOD), _named(children, DEFECT)
    if good or defects:
        return CategoryFolders(folder, good, defects, masks)
    if "test" in children:
        kinds = listing.contents(children["test"]).folders
        normal, abnormal = _named(kinds, GOOD), tuple(kinds.values())
        if not normal and set(kinds) == set(NUMBERS):
            normal = (kinds["0"],)
        abnormal = tuple(kind for kind in abnormal if kind not in normal)
        return CategoryFolders(folder, normal, abnormal, masks, base=children["test"]) if kinds else None
    if set(NUMBERS) == set(children) - set(MASK) and not any(_recognize(children[name], listing) for name in NUMBERS):
        return CategoryFolders(folder, (children["0"],), (children["1"],), masks)
    return None


def _named(children: dict[str, Path], names: tuple[str, ...]) -> tuple[Path, ...]:
    return tuple(children[name] for name in names if name in children)


def _children(folder: Path) -> str:
    names = [child.name for child in Listing().contents(folder).folders.values()]
    return f"its folders are {abbreviate(names, at_most=12)}" if names else "it has no folders"


def _has_other_folders(folders: CategoryFolders) -> bool:
    recognised = {folders.base, *folders.defects, *folders.masks}
    return any(child not in recognised for child in Listing().contents(folders.folder).folders.values())


def _has_images(folder: Path) -> bool:
    return bool(Listing().contents(folder).images)
