"""What weights were trained on, and that no test runs on it."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pandas import DataFrame

from anomalib_cops.data.sets.find import find_declaration
from anomalib_cops.data.synthetic.addresses import is_address
from anomalib_cops.errors import InputError

logger = logging.getLogger(__name__)

READ_OF_A_CATEGORY = 16
"""Images whose content tells a category from others, at most."""

DataRecord = dict[str, Any]
"""A data set of a training: ``set``, its name; ``categories``, those trained on, all if empty; and ``fingerprints`` of
their images by category, where they are known."""


def training_sources(datamodule: Any) -> list[DataRecord]:
    """Name what a datamodule trains on; nothing where it does not say."""
    # The part that is held out for validation belongs to the source as well.
    return data_records(_samples(datamodule, "train_data", "val_data"), datamodule)


def data_records(samples: DataFrame | None, datamodule: Any) -> list[DataRecord]:
    """Name the data sets and categories of a table of images."""
    if samples is None:
        return []
    if "set" in samples and "category" in samples:
        return [
            {"set": str(name), "categories": sorted(part["category"].unique()), "fingerprints": _fingerprints(part)}
            for name, part in samples.groupby("set")
        ]
    name = str(getattr(datamodule, "name", "") or "")
    declared = find_declaration(name) if name else None
    category = str(getattr(datamodule, "category", "") or "")
    return [{"set": declared.name if declared else name, "categories": [category] if category else []}] if name else []


def refuse_overlap(trained_on: Sequence[DataRecord], datamodule: Any, weights: str) -> None:
    """See to it that a test is on nothing that the weights were trained on.

    Sets of the catalogue are known by name. Folders of equal names may hold other images, so they are known by these.

    Args:
        trained_on: of the weights.
        datamodule: what is tested.
        weights: what to call them.

    Raises:
        InputError: naming the set and the categories.
    """
    if not trained_on or datamodule is None:
        return
    for target in data_records(_samples(datamodule, "test_data"), datamodule):
        for source in trained_on:
            shared = shared_categories(source, target)
            if not shared:
                continue
            what = f"{target['set']} ({', '.join(shared[:3])}{f' and {len(shared) - 3} more' if shared[3:] else ''})"
            if not _is_known_by_name(target["set"]) and not _same_images(source, target):
                logger.warning(
                    "%s was trained on a data set that is also called %s: see that it is another.", weights, what
                )
                continue
            raise InputError(
                f"{weights} was trained on {what}, so a test on it would not be zero-shot; choose another target, or "
                "weights that have not seen it."
            )


def shared_categories(source: DataRecord, target: DataRecord) -> list[str]:
    """Name the categories of a target that were trained on, by their images or else by their names."""
    return _same_images(source, target) or _same_names(source, target)


def _same_images(source: DataRecord, target: DataRecord) -> list[str]:
    """Categories of the target whose images the source has."""
    known = set(source.get("fingerprints", {}).values())
    return [name for name, value in target.get("fingerprints", {}).items() if value in known]


def _same_names(source: DataRecord, target: DataRecord) -> list[str]:
    """Categories of the target that the source has by name."""
    if source["set"] != target["set"]:
        return []
    theirs, ours = source["categories"], target["categories"]
    return [name for name in ours if name in theirs] if theirs and ours else ours or theirs or ["all categories"]


def _is_known_by_name(name: str) -> bool:
    return name == "synthetic" or find_declaration(name) is not None


def _fingerprints(samples: DataFrame) -> dict[str, str]:
    """Digests of the images of every category, the same wherever they lie."""
    return {str(category): _fingerprint(list(part["image_path"])) for category, part in samples.groupby("category")}


def _fingerprint(paths: list[str]) -> str:
    """A digest of the names and sizes of all images, and of the content of some: sets of frames are named alike."""
    if is_address(paths[0]):
        described = sorted(paths)
    else:
        files = sorted(map(Path, paths), key=lambda path: path.name)
        described = [f"{path.name} {path.stat().st_size}" for path in files]
        for path in files[:: 1 + len(files) // READ_OF_A_CATEGORY]:
            with path.open("rb") as file:
                described.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashlib.sha256("\n".join(described).encode()).hexdigest()[:16]


def _samples(datamodule: Any, *parts: str) -> DataFrame | None:
    """The table of images of some parts of a datamodule; None where it has none."""
    tables = [getattr(getattr(datamodule, part, None), "samples", None) for part in parts]
    found = [table for table in tables if isinstance(table, DataFrame)]
    return pd.concat(found, ignore_index=True) if found else None
