"""One category in folders: its images, and which mask belongs to which of them."""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pandas import DataFrame

from anomalib_cops.data.images import IMAGE_SUFFIXES, MASK_ABOVE
from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.data.sets.samples import MASK_ENDINGS, abbreviate, anomalous, normal, table
from anomalib_cops.errors import InputError


@dataclass(frozen=True)
class CategoryFolders:
    """Where one category keeps its images.

    Attributes:
        folder: The category.
        good: Folders of normal images.
        defects: Folders of anomalous images, with their sub-folders but for those of masks.
        base: What the path of an image is taken relative to when its mask is looked up; by default the folder of the
            above that it is in.
        masks: Folders of masks, with their sub-folders.
        mask_above: A pixel is anomalous where the brightest channel of its mask is above this.
        suffixes: Of images and masks.
    """

    folder: Path
    good: tuple[Path, ...]
    defects: tuple[Path, ...]
    masks: tuple[Path, ...]
    base: Path | None = None
    mask_above: int = MASK_ABOVE
    suffixes: tuple[str, ...] = IMAGE_SUFFIXES

    def read(self, name: str, category: str, listing: Listing) -> DataFrame:
        """All images; an anomalous image whose mask is empty of anomalous pixels stays anomalous.

        Raises:
            InputError: There are folders of masks, but no masks in them.
        """
        known, defects = self._known_masks(listing), self._anomalous(listing)
        if self.masks and defects and not known:
            places = " and ".join(map(str, self.masks))
            raise InputError(
                f"{places} holds no masks, {_content(self.masks)}; expected are {', '.join(self.suffixes)} files named "
                "as their images, or leave the folder out to use image labels only."
            )
        # Names of normal and anomalous images repeat: only a path that says which is meant tells of a normal one.
        good = {image: self._mask_of(image, known, told=False) for image in self._images(self.good, listing)}
        bad = {image: self._mask_of(image, known, told=True) for image in defects}
        taken = {*good.values(), *bad.values()}
        bad = _with_moved_masks(bad, [mask for mask in known.values() if mask not in taken])
        rows = [
            *(normal(image, mask) for image, mask in good.items()),
            *(anomalous(image, self._kind(image), mask) for image, mask in bad.items()),
        ]
        return table(rows, name=name, category=category, masked=bool(known), mask_above=self.mask_above)

    def describe_masks(self) -> str:
        """Which masks there are, and what they should be called, for a message."""
        masks = [mask.name for mask in self._known_masks(Listing()).values()]
        endings = ", ".join(f"NAME{ending}" for ending in MASK_ENDINGS[:3])
        return f"there are masks named {abbreviate(masks)}, and that of NAME.png is called {endings} or the like"

    def unused_masks(self, samples: DataFrame, listing: Listing) -> list[str]:
        """Masks that belong to no image.

        Args:
            samples: All images, as ``read`` gives them.
            listing: Of the folders.
        """
        used = set(samples["mask_path"])
        return [str(mask) for mask in self._images(self.masks, listing) if str(mask) not in used]

    def _images(self, folders: Sequence[Path], listing: Listing) -> list[Path]:
        inside = [image for folder in folders for image in listing.tree(folder)]
        return [image for image in inside if image.name.lower().endswith(self.suffixes)]

    def _anomalous(self, listing: Listing) -> list[Path]:
        images = self._images(self.defects, listing)
        inner = [mask for mask in self.masks if any(_below(folder, mask) for folder in self.defects)]
        return [image for image in images if not any(_below(folder, image) for folder in inner)]

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
        return next(
            (known[name] for each in stems for ending in MASK_ENDINGS if (name := each + ending) in known), None
        )

    def _kind(self, image: Path) -> str:
        """The defect's kind: the sub-folder it is in, or the name of the folder of defects."""
        return Path(os.path.dirname(self._inside(image)) or image.parent.name).as_posix()

    def _inside(self, image: Path) -> str:
        bases = (self.base,) if self.base else (*self.defects, *self.good)
        return next((inside for base in bases if (inside := _below(base, image))), image.name)


def _with_moved_masks(masks: dict[Path, Path | None], free: list[Path]) -> dict[Path, Path | None]:
    """Images without a mask get the one of their name in another sub-folder, if only one of each has that name."""
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for each in free:
        by_stem[each.stem].append(each)
    counts = Counter(image.stem for image in masks)
    found: dict[Path, Path | None] = {}
    for image, mask in masks.items():
        candidates = [other for ending in MASK_ENDINGS for other in by_stem.get(image.stem + ending, ())]
        is_sure = len(candidates) == 1 and counts[image.stem] == 1
        found[image] = candidates[0] if mask is None and is_sure else mask
    return found


def _content(folders: Sequence[Path]) -> str:
    """How many files of which suffixes there are."""
    files = [
        Path(name).suffix.lower() or "nameless"
        for folder in folders
        for _, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".")
    ]
    counted = sorted(Counter(files).items(), key=lambda each: (-each[1], each[0]))
    kinds = [f"{count} {suffix} file{'s' * (count > 1)}" for suffix, count in counted]
    return f"but {abbreviate(kinds)}" if kinds else "as it is empty"


def _below(folder: Path, image: Path) -> str:
    """Path of an image inside a folder; empty if it is elsewhere. Path objects would take seconds for 100,000."""
    start = f"{folder}{os.sep}"
    return str(image)[len(start) :] if str(image).startswith(start) else ""


def _without_suffix(path: str) -> str:
    return os.path.splitext(path)[0]
