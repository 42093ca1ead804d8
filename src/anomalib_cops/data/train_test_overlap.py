"""Overlap of training and test data: record what weights were trained on, and refuse a test on the same images."""

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
from anomalib_cops.files import sha256

logger = logging.getLogger(__name__)

READ_OF_A_CATEGORY = 16
"""Number of images, at most, whose content enters the fingerprint of a category."""

DataRecord = dict[str, Any]
"""Record of the data of a training, as weight files keep it: ``set``, the name of the data set; ``categories``, the
names of its categories, empty for all; and, if the images are known, ``fingerprints`` of them by category."""


def training_sources(datamodule: Any) -> list[DataRecord]:
    """Record the training data of a datamodule; empty if the datamodule does not name them."""
    # The part that is held out for validation belongs to the source as well.
    return data_records(_samples(datamodule, "train_data", "val_data"), datamodule)


def data_records(samples: DataFrame | None, datamodule: Any) -> list[DataRecord]:
    """Record the data sets and categories of a table of samples.

    Args:
        samples: Table of samples; None gives no records.
        datamodule: Names the data set if the table has no columns ``set`` and ``category``.
    """
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
    """Refuse a test on data that the weights were trained on.

    Data sets of the catalogue are compared by name. Folders of the same name may hold different images, so they are
    compared by the fingerprints of their images; if only the names agree, warn.

    Args:
        trained_on: Training data of the weights.
        datamodule: Datamodule of the test.
        weights: Name of the weights, for messages.

    Raises:
        InputError: The weights were trained on the test data; the message names data set and categories.
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
    """Return the categories of a target that the source shares: by their images, or else by their names."""
    return _same_images(source, target) or _same_names(source, target)


def _same_images(source: DataRecord, target: DataRecord) -> list[str]:
    """Return the categories of the target whose images the source has."""
    fingerprints = set(source.get("fingerprints", {}).values())
    return [name for name, value in target.get("fingerprints", {}).items() if value in fingerprints]


def _same_names(source: DataRecord, target: DataRecord) -> list[str]:
    """Return the categories of the target that the source has by name."""
    if source["set"] != target["set"]:
        return []
    theirs, ours = source["categories"], target["categories"]
    return [name for name in ours if name in theirs] if theirs and ours else ours or theirs or ["all categories"]


def _is_known_by_name(name: str) -> bool:
    return name == "synthetic" or find_declaration(name) is not None


def _fingerprints(samples: DataFrame) -> dict[str, str]:
    """Return the fingerprint of every category; it does not depend on the folder of the images."""
    return {str(category): _fingerprint(list(part["image_path"])) for category, part in samples.groupby("category")}


def _fingerprint(paths: list[str]) -> str:
    """Return a digest of the names and sizes of all images and of the content of some, as names are often alike."""
    if is_address(paths[0]):
        lines = sorted(paths)
    else:
        files = sorted(map(Path, paths), key=lambda path: path.name)
        lines = [f"{path.name} {path.stat().st_size}" for path in files]
        lines += [sha256(path) for path in files[:: 1 + len(files) // READ_OF_A_CATEGORY]]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _samples(datamodule: Any, *parts: str) -> DataFrame | None:
    """Return the table of samples of some parts of a datamodule; None if it has none."""
    tables = [getattr(getattr(datamodule, part, None), "samples", None) for part in parts]
    found = [table for table in tables if isinstance(table, DataFrame)]
    return pd.concat(found, ignore_index=True) if found else None
