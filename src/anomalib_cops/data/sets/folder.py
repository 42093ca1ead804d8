"""A data set that is a folder: finds good and defect images and their masks by the names of the sub-folders.

Three layouts are found by looking: ``<set>/<category>/{good,defect,mask}/``, the same without categories, and that of
MVTec AD (``test/good``, ``test/<kind>``, ``ground_truth/<kind>`` in each category). Other usual words serve as well
(``OK``, ``NG``, ``pass``, ``fail``). A mask has the stem of its image, or ends in one more word (``MASK_ENDINGS``).
"""

import logging
import os
from pathlib import Path

from pandas import DataFrame

from anomalib_cops.data.images import IMAGE_SUFFIXES
from anomalib_cops.data.sets.category_folders import CategoryFolders
from anomalib_cops.data.sets.index import load_or_list
from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.data.sets.samples import abbreviate, complete
from anomalib_cops.errors import InputError

GOOD = ("good", "normal", "ok", "pass", "passed")
DEFECT = (
    *("defect", "defects", "defective", "bad", "anomaly", "anomalous", "abnormal", "ko"),
    *("ng", "nok", "not_ok", "not_good", "fail", "failed"),
)
# Numbers name labels only where there are just these two.
NUMBERS = ("0", "1")
MASK = ("mask", "masks", "ground_truth", "groundtruth", "gt")

EXPECTED = f"{', '.join(IMAGE_SUFFIXES[:3])} files, or the like, in folders named like 'good' and 'defect'"

logger = logging.getLogger(__name__)


class FolderSet:
    """A labelled data set in a folder.

    Args:
        folder: Where it is.

    Raises:
        InputError: No labelled images can be found in the folder.
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
        for child in listing.look(self.folder).folders.values():
            inside = listing.look(child).folders.values()
            if self.name not in self._found and child.name not in self._found and any(map(_has_images, inside)):
                logger.warning("%s is left out as no category is recognised in it: %s.", child, _children(child))

    def listed(self, category: str, listing: Listing) -> DataFrame:
        """What there is of a category, complete or not.

        Raises:
            InputError: There is a folder of masks, but no masks in it.
        """
        return self._found[category].read(self.name, category, listing)

    def labels(self, category: str, samples: DataFrame) -> tuple[int, ...]:
        """Which labels there have to be: where pixels are labelled, normal images may be missing with their folder."""
        return (1,) if samples["masked"].all() and not self._found[category].good else (0, 1)

    def unused_masks(self, category: str, samples: DataFrame) -> list[str]:
        """Masks of a category that belong to none of its images."""
        return self._found[category].unused_masks(samples, Listing())

    def samples(self, category: str) -> DataFrame:
        """Lists one category: a row per image, as ``LabelledImages`` takes them; ``masked`` where masks exist.

        Warns where normal images are missing and may be in a folder that is not recognised.

        Raises:
            InputError: Normal or anomalous images are missing, or masks of some anomalous images.
        """
        samples = load_or_list(self.folder, self.name, category, lambda listing: self.listed(category, listing))
        parts, labels = self._found[category], self.labels(category, samples)
        expected = f"{EXPECTED}; {_children(parts.folder)}"
        samples = complete(samples, parts.folder, labels=labels, expected=expected, masks=parts.describe_masks)
        if 0 not in labels and self._others(parts):
            logger.warning(
                "No folder of normal images is recognised in %s, %s: only pixels can be measured.",
                *(parts.folder, _children(parts.folder)),
            )
        return samples

    def _others(self, parts: CategoryFolders) -> bool:
        known = {parts.base, *parts.defects, *parts.masks}
        return any(child not in known for child in Listing().look(parts.folder).folders.values())


def find_categories(folder: Path, listing: Listing) -> dict[str, CategoryFolders]:
    """Categories in a folder, or the folder itself if it is one; empty if there are none.

    Raises:
        InputError: A folder cannot be listed.
    """
    whole = _parts(folder, listing)
    children = [] if whole else listing.look(folder).folders.values()
    found = [whole] if whole else [parts for child in children if (parts := _parts(child, listing))]
    return {parts.folder.name: parts for parts in found}


def _parts(folder: Path, listing: Listing) -> CategoryFolders | None:
    children = listing.look(folder).folders
    masks = _named(children, MASK)
    good, defects = _named(children, GOOD), _named(children, DEFECT)
    if good or defects:
        return CategoryFolders(folder, good, defects, masks)
    if "test" in children:
        kinds = listing.look(children["test"]).folders
        normal, abnormal = _named(kinds, GOOD), tuple(kinds.values())
        if not normal and set(kinds) == set(NUMBERS):
            normal = (kinds["0"],)
        abnormal = tuple(kind for kind in abnormal if kind not in normal)
        return CategoryFolders(folder, normal, abnormal, masks, base=children["test"]) if kinds else None
    if set(NUMBERS) == set(children) - set(MASK) and not any(_parts(children[name], listing) for name in NUMBERS):
        return CategoryFolders(folder, (children["0"],), (children["1"],), masks)
    return None


def _named(children: dict[str, Path], names: tuple[str, ...]) -> tuple[Path, ...]:
    return tuple(children[name] for name in names if name in children)


def _children(folder: Path) -> str:
    names = [child.name for child in Listing().look(folder).folders.values()]
    return f"its folders are {abbreviate(names, at_most=12)}" if names else "it has no folders"


def _has_images(folder: Path) -> bool:
    return bool(Listing().look(folder).images)
