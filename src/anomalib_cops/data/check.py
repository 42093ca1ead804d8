"""Looks at every file of data sets: are the images there, readable, and do labels and masks agree?"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pandas import DataFrame

from anomalib_cops.data.decoding import DecodedImage, open_image
from anomalib_cops.data.image_and_mask import align_mask
from anomalib_cops.data.images import rgb
from anomalib_cops.data.mask_validation import mask_values_of
from anomalib_cops.data.masks import MaskValues, anomalous_pixels
from anomalib_cops.data.sets.folder import FolderSet
from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.data.sets.published_set import PublishedSet
from anomalib_cops.data.sets.samples import absent, images_without_mask, with_mask_values
from anomalib_cops.errors import InputError

# What is wrong, and what to do about it; the first ones keep a set from being used.
UNUSABLE = {
    "incomplete": "copy what is missing, or name only categories that are there",
    "unreadable file": "replace or remove it",
    "unclear mask": "say which levels are anomalous with mask_values=, or --mask-values here",
    "mask of another size": "save it in the size of its image",
    "mask of a turned image": "save the image the right way up",
    "anomalous image without a mask": "add the mask, or move all masks away to use image labels only",
}
DOUBTFUL = {
    "only anomalous images": "only pixels can be measured; add a folder of normal images for the rest",
    "anomalous image with an empty mask": "it stays anomalous for image metrics; draw the mask, or accept it",
    "normal image with a mask that is not empty": "it stays normal; empty the mask, or move the image",
    "mask without an image": "give it the name of its image, or remove it",
    "turned image": "it is stored turned (EXIF orientation) and read the right way up, with its mask; nothing to do",
    "image in two places": "remove one, if it should count once",
}


@dataclass
class Finding:
    """What was found of one data set.

    Attributes:
        name: The data set.
        folder: Where it is.
        categories: How many categories are there.
        normal: How many normal images.
        anomalous: How many anomalous images.
        masks: How many masks of anomalous images.
        expected: Normal and anomalous images that it should have; none if not known.
        problems: By kind, the files.
    """

    name: str
    folder: Path
    categories: int = 0
    normal: int = 0
    anomalous: int = 0
    masks: int = 0
    expected: tuple[int, int] | None = None
    problems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def usable(self) -> bool:
        """Whether it can be trained on or tested on as it is."""
        return not set(self.problems) & set(UNUSABLE)

    @property
    def verdict(self) -> str:
        """A few words for a table."""
        counted = [f"{len(files)} × {kind}" for kind, files in self.problems.items()]
        if self.expected and (self.normal, self.anomalous) != self.expected:
            counted.append("other counts than published")
        return "; ".join(counted) or "good"


def check(
    found: PublishedSet | FolderSet,
    looked_at: Callable[[int], None] = lambda total: None,
    values: MaskValues = None,
) -> Finding:
    """Opens every image and mask of a data set.

    Args:
        found: The data set.
        looked_at: Called after each image with the number of all.
        values: The levels of masks that are anomalous, for sets that are not read as published.
    """
    assert found.folder is not None
    declared = found.declared if isinstance(found, PublishedSet) else None
    finding = Finding(found.name, found.folder, expected=declared.counts if declared else None)
    listing = Listing()
    rows: list[Any] = []
    for category in found.categories:
        try:
            samples = found.listed(category, listing)
        except InputError as error:
            finding.problems["incomplete"].append(str(error))
            continue
        _count(finding, samples)
        labels = found.labels(category, samples) if isinstance(found, FolderSet) else found.declared.labels
        finding.problems["incomplete"] += [f"{category} has no {kind} images" for kind in absent(samples, labels)]
        if isinstance(found, FolderSet):
            accepted = [kind for kind in absent(samples) if 0 not in labels]
            finding.problems["only anomalous images"] += [f"{category} has no {kind} images" for kind in accepted]
            finding.problems["mask without an image"] += found.unused_masks(category, samples)
        rows += (samples if found.has_mask_rule else with_mask_values(samples, values)).itertuples()
    places: dict[str, list[str]] = defaultdict(list)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, digest, problems in pool.map(_look, rows):
            for kind, where in problems:
                finding.problems[kind].append(where)
            places[digest].append(path)
            looked_at(len(rows))
    finding.problems["image in two places"] += [" = ".join(paths) for paths in places.values() if len(paths) > 1]
    order = [*UNUSABLE, *DOUBTFUL]
    finding.problems = {kind: finding.problems[kind] for kind in order if finding.problems.get(kind)}
    return finding


def advice(finding: Finding, at_most: int) -> Iterable[str]:
    """What is wrong with a data set, file by file, and what to do.

    Args:
        finding: What was found.
        at_most: How many files of a kind to name.
    """
    for kind, files in finding.problems.items():
        yield f"{finding.name}: {kind} ({(UNUSABLE | DOUBTFUL)[kind]})"
        yield from (f"  {file}" for file in files[:at_most])
        if len(files) > at_most:
            yield f"  and {len(files) - at_most} more; --all names them"


def _count(finding: Finding, samples: DataFrame) -> None:
    anomalous = samples[samples["label_index"] == 1]
    finding.categories += 1
    finding.normal += len(samples) - len(anomalous)
    finding.anomalous += len(anomalous)
    finding.masks += int((anomalous["mask_path"] != "").sum())
    finding.problems["anomalous image without a mask"] += images_without_mask(samples)


def _look(row: Any) -> tuple[str, str, list[tuple[str, str]]]:
    """Path and digest of an image, and what is wrong with it or its mask."""
    problems: list[tuple[str, str]] = []
    try:
        digest = hashlib.sha256(Path(row.image_path).read_bytes()).hexdigest()
    except OSError:
        digest = row.image_path
    try:
        with open_image(row.image_path) as image:
            rgb(image.image)
    except InputError as error:
        problems.append(("unreadable file", str(error)))
        image = None
    if image is not None and image.is_turned:
        problems.append(("turned image", row.image_path))
    if row.mask_path:
        problems += _look_at_mask(row, image)
    return row.image_path, digest, problems


def _look_at_mask(row: Any, image: DecodedImage | None) -> list[tuple[str, str]]:
    mask = unclear = None
    try:
        with open_image(row.mask_path) as file:
            try:
                mask = anomalous_pixels(file, row.mask_path, row.mask_above, mask_values_of(row))
            except InputError as error:
                unclear = str(error)
    except InputError as error:
        return [("unreadable file", str(error))]
    if mask is None:
        return [("unclear mask", str(unclear))]
    problems = []
    try:
        if image is not None:
            align_mask(mask, file, row.mask_path, image, row.image_path)
    except InputError:
        kind = "mask of a turned image" if image is not None and image.is_turned else "mask of another size"
        problems.append((kind, f"{row.mask_path}, of {row.image_path}"))
    if row.label_index and not mask.any():
        problems.append(("anomalous image with an empty mask", f"{row.image_path}, {row.mask_path}"))
    if not row.label_index and mask.any():
        problems.append(("normal image with a mask that is not empty", f"{row.image_path}, {row.mask_path}"))
    return problems
