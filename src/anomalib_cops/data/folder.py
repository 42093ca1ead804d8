"""A data set that is a folder: finds good and defect images and their masks by the names of the sub-folders.

Three layouts are found by looking: ``<set>/<category>/{good,defect,mask}/``, the same without categories, and that of
MVTec AD (``test/good``, ``test/<kind>``, ``ground_truth/<kind>`` in each category). Other usual words serve as well
(``GOOD``, ``DEFECT``, ``MASK``). A mask has the stem of its image, or ``<stem>_mask``.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from pandas import DataFrame

from anomalib_cops.data.images import SUFFIXES
from anomalib_cops.errors import InputError

GOOD = ("good", "normal", "ok")
DEFECT = ("defect", "defects", "defective", "bad", "anomaly", "anomalous", "abnormal", "ko")
MASK = ("mask", "masks", "ground_truth", "groundtruth", "gt")

_NAMED_AT_MOST = 3


@dataclass(frozen=True)
class _Parts:
    """Where one category keeps its images.

    Attributes:
        folder: The category.
        good: Normal images.
        defects: Anomalous images, in sub-folders or not.
        base: What the path of a defect image is taken relative to when its mask is looked up.
        mask: Masks.
    """

    folder: Path
    good: Path | None
    defects: tuple[Path, ...]
    base: Path | None
    mask: Path | None


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
        whole = _parts(self.folder)
        found = [whole] if whole else [part for child in _subfolders(self.folder).values() if (part := _parts(child))]
        if not found:
            raise InputError(
                f"{folder} holds no labelled images; expected are folders good and defect (and mask) in it or in each "
                "of its sub-folders, or test/good, test/<kind> and ground_truth/<kind>."
            )
        self._found = {part.folder.name: part for part in found}
        self.categories = tuple(sorted(self._found))

    def samples(self, category: str) -> DataFrame:
        """Lists one category: a row per image, as ``LabelledImages`` takes them; ``masked`` where masks exist.

        An anomalous image whose mask file is empty of anomalous pixels stays anomalous.

        Raises:
            InputError: Normal or anomalous images are missing, or masks of some anomalous images.
        """
        parts = self._found[category]
        good = _images(parts.good) if parts.good else []
        defects = [image for folder in parts.defects for image in _images(folder)]
        for images, kind, names in ((good, "normal", GOOD), (defects, "anomalous", DEFECT)):
            if not images:
                raise InputError(
                    f"{parts.folder} has no {kind} images; expected are {', '.join(SUFFIXES[:3])} files, or the like, "
                    f"in a folder named {' or '.join(names[:3])}."
                )
        known = _masks(parts)
        masks = {image: mask for image in defects if (mask := _mask_of(image, parts, known))}
        if known and (missing := [str(image) for image in defects if image not in masks]):
            more = f" and {len(missing) - _NAMED_AT_MOST} more" if len(missing) > _NAMED_AT_MOST else ""
            raise InputError(
                f"no mask in {parts.mask} has the name of {', '.join(missing[:_NAMED_AT_MOST])}{more}; add what is "
                "missing, or move the mask folder away to use image labels only."
            )
        rows = [(str(image), "good", 0, "") for image in good]
        rows += [(str(image), _kind(image, parts), 1, str(masks.get(image, ""))) for image in defects]
        samples = DataFrame(rows, columns=["image_path", "label", "label_index", "mask_path"])
        return samples.assign(set=self.name, category=category, masked=bool(known))


def _parts(folder: Path) -> _Parts | None:
    children = _subfolders(folder)
    good, defect, mask = (_first(children, names) for names in (GOOD, DEFECT, MASK))
    if good or defect:
        return _Parts(folder, good, (defect,) if defect else (), defect, mask)
    if "test" not in children:
        return None
    kinds = _subfolders(children["test"])
    good = _first(kinds, GOOD)
    return _Parts(folder, good, tuple(kind for kind in kinds.values() if kind != good), children["test"], mask)


def _kind(image: Path, parts: _Parts) -> str:
    """The defect's kind: the sub-folder it is in, or the name of the folder of defects."""
    assert parts.base is not None
    inside = image.parent.relative_to(parts.base).as_posix()
    return parts.base.name if inside == "." else inside


def _masks(parts: _Parts) -> dict[Path, Path]:
    """All masks by their path inside the mask folder, without suffix."""
    if parts.mask is None:
        return {}
    # Reversed, so that of two files with one stem the first by name wins.
    return {mask.relative_to(parts.mask).with_suffix(""): mask for mask in reversed(_images(parts.mask))}


def _mask_of(image: Path, parts: _Parts, known: dict[Path, Path]) -> Path | None:
    assert parts.base is not None
    inside = image.relative_to(parts.base).with_suffix("")
    # Masks may lie in a folder named like the folder of defects: ground_truth/bad beside bad.
    stems = (inside, parts.base.name / inside)
    names = (name for stem in stems for name in (stem, stem.with_name(stem.name + "_mask")))
    return next((known[name] for name in names if name in known), None)


def _subfolders(folder: Path) -> dict[str, Path]:
    try:
        folders = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be listed ({error.strerror}); give a readable one.") from None
    return {child.name.casefold(): child for child in folders}


def _first(children: dict[str, Path], names: tuple[str, ...]) -> Path | None:
    return next((children[name] for name in names if name in children), None)


def _images(folder: Path) -> list[Path]:
    """All images below a folder, by name."""

    def refuse(error: OSError) -> None:
        raise InputError(f"the folder {error.filename} cannot be listed ({error.strerror}); give a readable one.")

    return sorted(
        Path(inside, name)
        for inside, _, names in os.walk(folder, onerror=refuse)
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    )
