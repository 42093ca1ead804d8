"""Folders of one category: its images, and the mask that belongs to each of them."""

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pandas import DataFrame

from anomalib_cops.data.masks import MASK_ABOVE
from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.data.sets.samples import MASK_ENDINGS, abbreviate, anomalous_row, normal_row, sample_table
from anomalib_cops.errors import InputError
from anomalib_cops.images.reading import IMAGE_SUFFIXES


@dataclass(frozen=True)
class CategoryFolders:
    """Folders in which one category keeps its images and masks.

    Attributes:
        folder: Folder of the category.
        good: Folders of normal images, with their sub-folders.
        defects: Folders of anomalous images, with their sub-folders except for those of masks.
        masks: Folders of masks, with their sub-folders.
        base: Folder relative to which the path of an image is compared with that of a mask; by default the folder of
            normal or anomalous images that it is in.
        mask_above: Grey level of a mask above which a pixel is anomalous, by its brightest channel.
        suffixes: Suffixes of images and masks, in lower case.
    """

    folder: Path
    good: tuple[Path, ...]
    defects: tuple[Path, ...]
    masks: tuple[Path, ...]
    base: Path | None = None
    mask_above: int = MASK_ABOVE
    suffixes: tuple[str, ...] = IMAGE_SUFFIXES

    def read(self, name: str, category: str, listing: Listing) -> DataFrame:
        """Return the table of all images.

        Args:
            name: Name of the data set.
            category: Name of the category.
            listing: Listing of the folders.

        Raises:
            InputError: There are folders of masks, but no masks in them.
        """
        masks, defects = self._masks_by_path(listing), self._anomalous_images(listing)
        if self.masks and defects and not masks:
            places = " and ".join(map(str, self.masks))
            raise InputError(
                f"{places} holds no masks, {_content(self.masks)}; expected are {', '.join(self.suffixes)} files named "
                "as their images, or leave the folder out to use image labels only."
            )
        # Normal and anomalous images may have equal names, so a normal image needs more than its name to get a mask.
        good = {image: self._mask_of(image, masks, by_name=False) for image in self._images(self.good, listing)}
        bad = {image: self._mask_of(image, masks, by_name=True) for image in defects}
        taken = {*good.values(), *bad.values()}
        bad = _with_moved_masks(bad, [mask for mask in masks.values() if mask not in taken])
        rows = [
            *(normal_row(image, mask) for image, mask in good.items()),
            *(anomalous_row(image, self._kind(image), mask) for image, mask in bad.items()),
        ]
        return sample_table(rows, name=name, category=category, masked=bool(masks), mask_above=self.mask_above)

    def describe_masks(self) -> str:
        """Say, for a message, which masks there are and what they should be called."""
        masks = [mask.name for mask in self._masks_by_path(Listing()).values()]
        endings = ", ".join(f"NAME{ending}" for ending in MASK_ENDINGS[:3])
        return f"there are masks named {abbreviate(masks)}, and that of NAME.png is called {endings} or the like"

    def unused_masks(self, samples: DataFrame, listing: Listing) -> list[str]:
        """Return the masks that belong to no image.

        Args:
            samples: Table of all images, from ``read``.
            listing: Listing of the folders.
        """
        used = set(samples["mask_path"])
        return [str(mask) for mask in self._images(self.masks, listing) if str(mask) not in used]

    def _images(self, folders: Sequence[Path], listing: Listing) -> list[Path]:
        inside = [image for folder in folders for image in listing.tree(folder)]
        return [image for image in inside if image.name.lower().endswith(self.suffixes)]

    def _anomalous_images(self, listing: Listing) -> list[Path]:
        images = self._images(self.defects, listing)
        inner = [mask for mask in self.masks if any(_path_inside(folder, mask) for folder in self.defects)]
        return [image for image in images if not any(_path_inside(folder, image) for folder in inner)]

    def _masks_by_path(self, listing: Listing) -> dict[str, Path]:
        """Return all masks by their path inside the mask folder, without suffix; of several files the first."""
        masks: dict[str, Path] = {}
        for folder in self.masks:
            for mask in self._images([folder], listing):
                masks.setdefault(_without_suffix(_path_inside(folder, mask)), mask)
        return masks

    def _mask_of(self, image: Path, masks: Mapping[str, Path], *, by_name: bool) -> Path | None:
        """Return the mask with the path of an image, or with its name in a folder named like that of the image.

        ``by_name`` allows a name without any folder.
        """
        inside = _without_suffix(self._inside(image))
        folder, stem = os.path.split(inside)
        # A folder of masks may be named like the folder of defects: ground_truth/bad beside bad.
        paths = [inside] if by_name or folder else []
        paths.append(os.path.join(image.parent.name, stem))
        names = [path + ending for path in paths for ending in MASK_ENDINGS]
        return next((masks[name] for name in names if name in masks), None)

    def _kind(self, image: Path) -> str:
        """Return the kind of defect: the sub-folder of the image, or the name of the folder of defects."""
        return Path(os.path.dirname(self._inside(image)) or image.parent.name).as_posix()

    def _inside(self, image: Path) -> str:
        bases = (self.base,) if self.base else (*self.defects, *self.good)
        return next((inside for base in bases if (inside := _path_inside(base, image))), image.name)


def _with_moved_masks(masks: Mapping[Path, Path | None], free: Sequence[Path]) -> dict[Path, Path | None]:
    """Give images without a mask the one of their name in another sub-folder, if the name is unique on both sides."""
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for each in free:
        by_stem[each.stem].append(each)
    counts = Counter(image.stem for image in masks)
    found: dict[Path, Path | None] = {}
    for image, mask in masks.items():
        candidates = [other for ending in MASK_ENDINGS for other in by_stem.get(image.stem + ending, ())]
        is_unique = len(candidates) == 1 and counts[image.stem] == 1
        found[image] = candidates[0] if mask is None and is_unique else mask
    return found


def _content(folders: Sequence[Path]) -> str:
    """Say, for a message, how many files of which suffixes are in folders."""
    suffixes = [
        Path(name).suffix.lower() or "nameless"
        for folder in folders
        for _, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".")
    ]
    counted = sorted(Counter(suffixes).items(), key=lambda each: (-each[1], each[0]))
    kinds = [f"{count} {suffix} file{'s' * (count > 1)}" for suffix, count in counted]
    return f"but {abbreviate(kinds)}" if kinds else "as it is empty"


def _path_inside(folder: Path, image: Path) -> str:
    """Return the path of an image inside a folder; empty if it is elsewhere.

    The comparison is of texts, because with ``Path`` objects it would take seconds for 100,000 images.
    """
    start = f"{folder}{os.sep}"
    return str(image)[len(start) :] if str(image).startswith(start) else ""


def _without_suffix(path: str) -> str:
    return os.path.splitext(path)[0]
