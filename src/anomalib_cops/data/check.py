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

from anomalib_cops.data.folder import FolderSet
from anomalib_cops.data.images import read_image, read_mask
from anomalib_cops.data.listing import Listing
from anomalib_cops.data.published_set import PublishedSet
from anomalib_cops.data.samples import absent, without_mask
from anomalib_cops.errors import InputError

# What is wrong, and what to do about it; the first ones keep a set from being used.
UNUSABLE = {
    "incomplete": "copy what is missing, or name only categories that are there",
    "unreadable file": "replace or remove it",
    "mask of another size": "save it in the size of its image",
    "anomalous image without a mask": "add the mask, or move all masks away to use image labels only",
}
DOUBTFUL = {
    "anomalous image with an empty mask": "it stays anomalous for image metrics; draw the mask, or accept it",
    "normal image with a mask that is not empty": "it stays normal; empty the mask, or move the image",
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


def check(found: PublishedSet | FolderSet, looked_at: Callable[[int], None] = lambda total: None) -> Finding:
    """Opens every image and mask of a data set.

    Args:
        found: The data set.
        looked_at: Called after each image with the number of all.
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
        finding.problems["incomplete"] += [
            f"{category} has no {kind} images" for kind in absent(samples, declared.labels if declared else (0, 1))
        ]
        rows += samples.itertuples()
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
    finding.problems["anomalous image without a mask"] += without_mask(samples)


def _look(row: Any) -> tuple[str, str, list[tuple[str, str]]]:
    """Path and digest of an image, and what is wrong with it or its mask."""
    problems: list[tuple[str, str]] = []
    try:
        digest = hashlib.sha256(Path(row.image_path).read_bytes()).hexdigest()
    except OSError:
        digest = row.image_path
    size = None
    try:
        size = read_image(row.image_path).shape[:2]
    except InputError as error:
        problems.append(("unreadable file", str(error)))
    if row.mask_path:
        try:
            mask = read_mask(row.mask_path, row.mask_above)
        except InputError as error:
            return row.image_path, digest, [*problems, ("unreadable file", str(error))]
        if size is not None and mask.shape != size:
            problems.append(("mask of another size", f"{row.mask_path}, of {row.image_path}"))
        if row.label_index and not mask.any():
            problems.append(("anomalous image with an empty mask", f"{row.image_path}, {row.mask_path}"))
        if not row.label_index and mask.any():
            problems.append(("normal image with a mask that is not empty", f"{row.image_path}, {row.mask_path}"))
    return row.image_path, digest, problems
