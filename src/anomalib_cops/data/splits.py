"""Splits of a transfer: tables of its images, the part held out for validation, and checks of source and target."""

import os
from collections.abc import Sequence

import pandas as pd
import torch
from pandas import DataFrame

from anomalib_cops.data.category_assignment import Selection, same_data
from anomalib_cops.data.mask_use import with_mask_use
from anomalib_cops.data.masks import MaskValues
from anomalib_cops.data.sets.samples import MaskUse, with_mask_values
from anomalib_cops.data.synthetic.addresses import is_address
from anomalib_cops.errors import InputError


def list_images(selections: Sequence[Selection], values: MaskValues, masks: MaskUse | None = None) -> DataFrame:
    """List all images of some data sets and categories as one table of samples.

    Args:
        selections: The data sets and their categories.
        values: Anomalous levels of masks, for data sets that do not define them.
        masks: Masks that a training uses; None for a target, which needs all of its masks.

    Raises:
        InputError: A category is incomplete.
    """
    tables = []
    for each, categories in selections:
        listed = [each.samples(category, masks) for category in categories]
        tables += listed if each.has_mask_rule or values is None else [with_mask_values(one, values) for one in listed]
    samples = pd.concat(tables, ignore_index=True)
    return samples if masks is None else with_mask_use(samples, masks)


def mark_validation(samples: DataFrame, fraction: float, seed: int) -> pd.Series:
    """Mark the samples to hold out for validation.

    Args:
        samples: Table of samples of the source.
        fraction: Share to hold out of each category and label, of images with and without masks alike; at least one
            image, but never the only one.
        seed: Seed of the choice.

    Returns:
        True for each sample to hold out, with the index of ``samples``.

    Raises:
        InputError: There are too few images, or the fraction is not in (0, 1).
    """
    if not 0 < fraction < 1:
        raise InputError(f"val_fraction={fraction} is not between 0 and 1; give the share to hold out.")
    generator = torch.Generator().manual_seed(seed)
    chosen = pd.Series(False, index=samples.index)
    for _, group in samples.sort_values("image_path").groupby(["set", "category", "label_index", "masked"]):
        count = min(max(1, round(fraction * len(group))), len(group) - 1)
        chosen[group.index[torch.randperm(len(group), generator=generator)[:count].tolist()]] = True
    for label, kind in ((0, "normal"), (1, "anomalous")):
        if not (samples["label_index"] == label).any():
            raise InputError(
                f"{' and '.join(samples['set'].unique())} has no {kind} images, and training needs normal and "
                "anomalous ones; name a source beside it that has some."
            )
        if not chosen[samples["label_index"] == label].any():
            raise InputError(
                f"the source needs at least two {kind} images of a category, one to hold out for validation."
            )
    return chosen


def refuse_shared_images(source: DataFrame, target: DataFrame) -> None:
    """Refuse files that source and target share, by whatever path.

    Raises:
        InputError: There are shared files, or a file does not exist.
    """
    files = {_file_identity(path) for path in source["image_path"]}
    shared = [path for path in target["image_path"] if _file_identity(path) in files]
    if shared:
        raise InputError(same_data(f"{len(shared)} images ({shared[0]} is one)"))


def _file_identity(path: str) -> str | tuple[int, int]:
    """Return what is equal for two paths to one file, by links or otherwise."""
    if is_address(path):
        return path
    try:
        status = os.stat(path)
    except OSError as error:
        raise InputError(f"{path} cannot be used ({error.strerror}); remove or replace it.") from None
    return status.st_dev, status.st_ino
