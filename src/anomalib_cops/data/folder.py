"""A data set that is a folder: finds good and defect images and their masks by the names of the sub-folders.

Three layouts are found by looking: ``<set>/<category>/{good,defect,mask}/``, the same without categories, and that of
MVTec AD (``test/good``, ``test/<kind>``, ``ground_truth/<kind>`` in each category). Other usual words serve as well
(``GOOD``, ``DEFECT``, ``MASK``). A mask has the stem of its image, or ends in one more word (``ENDINGS``).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pandas import DataFrame

from anomalib_cops.data.images import MASK_ABOVE, SUFFIXES
from anomalib_cops.data.index import indexed
from anomalib_cops.data.listing import Listing
from anomalib_cops.data.samples import ENDINGS, anomalous, complete, normal, table
from anomalib_cops.errors import InputError

GOOD = ("good", "normal", "ok")
DEFECT = ("defect", "defects", "defective", "bad", "anomaly", "anomalous", "abnormal", "ko")
MASK = ("mask", "masks", "ground_truth", "groundtruth", "gt")

EXPECTED = f"{', '.join(SUFFIXES[:3])} files, or the like, in folders named like 'good' and 'defect'"


@dataclass(frozen=True)
class Parts:
    """Where one category keeps its images.

    Attributes:
        folder: The category.
        good: Folders of normal images.
        defects: Folders of anomalous images, with their sub-folders.
        base: What the path of an image is taken relative to when its mask is looked up; by default the folder of the
            above that it is in.
        masks: Folders of masks.
        mask_above: A pixel is anomalous where the brightest channel of its mask is above this.
        suffixes: Of images and masks.
    """

    folder: Path
    good: tuple[Path, ...]
    defects: tuple[Path, ...]
    masks: tuple[Path, ...]
    base: Path | None = None
    mask_above: int = MASK_ABOVE
    suffixes: tuple[str, ...] = SUFFIXES

    def read(self, name: str, category: str, listing: Listing) -> DataFrame:
        """All images; an anomalous image whose mask is empty of anomalous pixels stays anomalous."""
        known = self._known_masks(listing)
        # Names of normal and anomalous images repeat: only a path that says which is meant tells of a normal one.
        rows = [normal(image, self._mask_of(image, known, told=False)) for image in self._images(self.good, listing)]
        for image in self._images(self.defects, listing):
            rows.append(anomalous(image, self._kind(image), self._mask_of(image, known, told=True)))
        return table(rows, name=name, category=category, masked=bool(known), mask_above=self.mask_above)

    def _images(self, folders: Sequence[Path], listing: Listing) -> list[Path]:
        inside = [image for folder in folders for image in listing.tree(folder)]
        return [image for image in inside if image.name.lower().endswith(self.suffixes)]

    def _known_masks(self, listing: Listing) -> dict[str, Path]:
        """All masks by their path inside the mask folder, without suffix; the first by name of two with one stem."""
        known: dict[str, Path] = {}
        for folder in self.masks:
            for mask in self._images([folder], listing):
                known.setdefault(_without_suffix(_below(folder, mask)), mask)
        return known

    def _mask_of(self, image: Path, known: dict[str, Path], told: bool) -> Path | None:
        inside = _without_suffix(self._inside(image))
        folder, stem = os.path.split(inside)
        # Masks may lie in a folder named like the folder of defects: ground_truth/bad beside bad.
        stems = (*((inside,) if told or folder else ()), os.path.join(image.parent.name, stem))
        return next((known[name] for each in stems for ending in ENDINGS if (name := each + ending) in known), None)

    def _kind(self, image: Path) -> str:
        """The defect's kind: the sub-folder it is in, or the name of the folder of defects."""
        return Path(os.path.dirname(self._inside(image)) or image.parent.name).as_posix()

    def _inside(self, image: Path) -> str:
        bases = (self.base,) if self.base else (*self.defects, *self.good)
        return next((inside for base in bases if (inside := _below(base, image))), image.name)


def _below(folder: Path, image: Path) -> str:
    """Path of an image inside a folder; empty if it is elsewhere. Path objects would take seconds for 100,000."""
    start = f"{folder}{os.sep}"
    return str(image)[len(start) :] if str(image).startswith(start) else ""


def _without_suffix(path: str) -> str:
    return os.path.splitext(path)[0]


class FolderSet:
    """A labelled data set in a folder.

    Args:
        folder: Where it is.

    Raises:
        InputError: No labelled images can be found in the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.name = self.folder.name
        self.identity = os.path.realpath(folder)
        self._found = find_categories(self.folder, Listing())
        if not self._found:
            raise InputError(
                f"{folder} holds no labelled images; expected are folders good and defect (and mask) in it or in each "
                "of its sub-folders, or test/good, test/<kind> and ground_truth/<kind>."
            )
        self.categories = tuple(sorted(self._found))

    def listed(self, category: str, listing: Listing) -> DataFrame:
        """What there is of a category, complete or not."""
        return self._found[category].read(self.name, category, listing)

    def samples(self, category: str) -> DataFrame:
        """Lists one category: a row per image, as ``LabelledImages`` takes them; ``masked`` where masks exist.

        Raises:
            InputError: Normal or anomalous images are missing, or masks of some anomalous images.
        """
        samples = indexed(self.folder, self.name, category, lambda listing: self.listed(category, listing))
        return complete(samples, self._found[category].folder, expected=EXPECTED)


def find_categories(folder: Path, listing: Listing) -> dict[str, Parts]:
    """Categories in a folder, or the folder itself if it is one; empty if there are none.

    Raises:
        InputError: A folder cannot be listed.
    """
    whole = _parts(folder, listing)
    children = [] if whole else listing.look(folder).folders.values()
    found = [whole] if whole else [parts for child in children if (parts := _parts(child, listing))]
    return {parts.folder.name: parts for parts in found}


def _parts(folder: Path, listing: Listing) -> Parts | None:
    children = listing.look(folder).folders
    good, defect, mask = (_first(children, names) for names in (GOOD, DEFECT, MASK))
    if good or defect:
        return Parts(folder, _given(good), _given(defect), _given(mask))
    if "test" not in children:
        return None
    kinds = listing.look(children["test"]).folders
    good = _first(kinds, GOOD)
    defects = tuple(kind for kind in kinds.values() if kind != good)
    return Parts(folder, _given(good), defects, _given(mask), base=children["test"]) if kinds else None


def _first(children: dict[str, Path], names: tuple[str, ...]) -> Path | None:
    return next((children[name] for name in names if name in children), None)


def _given(folder: Path | None) -> tuple[Path, ...]:
    return (folder,) if folder else ()
