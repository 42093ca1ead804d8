"""Check of every file of a data set: images and masks are there, readable, and agree with the labels."""

import os
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pandas import DataFrame

from anomalib_cops.data.finding import DOUBTFUL, UNUSABLE, Finding
from anomalib_cops.data.image_and_mask import align_mask
from anomalib_cops.data.masks import MaskValues, anomalous_pixels
from anomalib_cops.data.sets.folder import FolderSet
from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.data.sets.published_set import PublishedSet
from anomalib_cops.data.sets.samples import images_without_mask, mask_values_of, missing_labels, with_mask_values
from anomalib_cops.errors import InputError
from anomalib_cops.files import sha256
from anomalib_cops.images.decoding import DecodedImage, open_image
from anomalib_cops.images.reading import to_rgb


def check(
    found: PublishedSet | FolderSet,
    on_image: Callable[[int], None] = lambda total: None,
    values: MaskValues = None,
) -> Finding:
    """Open every image and mask of a data set.

    Args:
        found: The data set.
        on_image: Called after every image with the number of all images.
        values: Anomalous levels of masks, for data sets that are not read as published.
    """
    assert found.folder is not None
    declared = found.declared if isinstance(found, PublishedSet) else None
    finding = Finding(found.name, found.folder, expected=declared.counts if declared else None)
    rows = _list_rows(found, finding, values)
    places: dict[str, list[str]] = defaultdict(list)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, digest, problems in pool.map(_check_image, rows):
            for kind, where in problems:
                finding.problems[kind].append(where)
            places[digest].append(path)
            on_image(len(rows))
    finding.problems["image in two places"] += [" = ".join(paths) for paths in places.values() if len(paths) > 1]
    order = [*UNUSABLE, *DOUBTFUL]
    finding.problems = {kind: finding.problems[kind] for kind in order if finding.problems.get(kind)}
    return finding


def _list_rows(found: PublishedSet | FolderSet, finding: Finding, values: MaskValues) -> list[Any]:
    """Return the rows of all samples, and note in the finding what is missing."""
    listing = Listing()
    rows: list[Any] = []
    for category in found.categories:
        try:
            samples = found.find_samples(category, listing)
        except InputError as error:
            finding.problems["incomplete"].append(str(error))
            continue
        _count(finding, samples)
        labels = found.labels(category, samples) if isinstance(found, FolderSet) else found.declared.labels
        missing = missing_labels(samples, labels)
        finding.problems["incomplete"] += [f"{category} has no {kind} images" for kind in missing]
        if isinstance(found, FolderSet):
            accepted = [kind for kind in missing_labels(samples) if 0 not in labels]
            finding.problems["only anomalous images"] += [f"{category} has no {kind} images" for kind in accepted]
            finding.problems["mask without an image"] += found.unused_masks(category, samples)
        rows += (samples if found.has_mask_rule else with_mask_values(samples, values)).itertuples()
    return rows


def _count(finding: Finding, samples: DataFrame) -> None:
    anomalous = samples[samples["label_index"] == 1]
    finding.categories += 1
    finding.normal += len(samples) - len(anomalous)
    finding.anomalous += len(anomalous)
    finding.masks += int((anomalous["mask_path"] != "").sum())
    finding.problems["anomalous image without a mask"] += images_without_mask(samples)


def _check_image(row: Any) -> tuple[str, str, list[tuple[str, str]]]:
    """Return path and digest of an image, and the problems of the image and its mask: kind and file."""
    problems: list[tuple[str, str]] = []
    try:
        digest = sha256(Path(row.image_path))
    except OSError:
        digest = row.image_path
    try:
        with open_image(row.image_path) as image:
            to_rgb(image.image)
    except InputError as error:
        problems.append(("unreadable file", str(error)))
        image = None
    if image is not None and image.is_turned:
        problems.append(("turned image", row.image_path))
    if row.mask_path:
        problems += _check_mask(row, image)
    return row.image_path, digest, problems


def _check_mask(row: Any, image: DecodedImage | None) -> list[tuple[str, str]]:
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
