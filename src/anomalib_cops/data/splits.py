"""Who trains and who is tested: shares data sets out, and keeps the two sides apart."""

import logging
import os
from collections.abc import Sequence

import pandas as pd
import torch
from pandas import DataFrame

from anomalib_cops.data.masks import MaskValues
from anomalib_cops.data.sets.find import LabelledSet, choose
from anomalib_cops.data.sets.samples import with_mask_values
from anomalib_cops.data.synthetic.addresses import is_address
from anomalib_cops.errors import InputError

logger = logging.getLogger(__name__)

# A data set and those of its categories that count.
Selection = tuple[LabelledSet, tuple[str, ...]]


def assign_categories(
    sources: Sequence[LabelledSet],
    targets: Sequence[LabelledSet],
    source_categories: list[str] | None,
    target_categories: list[str] | None,
) -> tuple[list[Selection], list[Selection]]:
    """Says which categories of which set are trained on and tested on.

    Warns where categories of one name are on both sides in different sets.

    Raises:
        InputError: The same category of the same set is on both sides, or one side has nothing.
    """
    for side, sets, named in (("source", sources, source_categories), ("target", targets, target_categories)):
        if not sets:
            raise InputError(f"{side} is an empty list; name at least one data set.")
        if named is not None and not named:
            raise InputError(f"{side}_categories is an empty list; name at least one, or leave it out for all.")
        names = [each.name for each in sets]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise InputError(f"two {side}s are named {twice}; give each data set once, and folders of different names.")
    training, testing = (
        choose(wanted, sets) if wanted else [each.categories for each in sets]
        for wanted, sets in ((source_categories, sources), (target_categories, targets))
    )
    for one, source in enumerate(sources):
        for other, target in enumerate(targets):
            if source.identity != target.identity:
                _warn_of_overlap((source, training[one]), (target, testing[other]))
                continue
            if source.name == "synthetic":
                training[one], testing[other] = _divided(
                    source, training[one], testing[other], bool(source_categories), bool(target_categories)
                )
            if shared := sorted(set(training[one]) & set(testing[other])):
                raise InputError(_same_data(f"the categories {', '.join(shared)} of {source.name}"))
    for sets, categories in ((sources, training), (targets, testing)):
        for each, share in zip(sets, categories, strict=True):
            if not share:
                raise InputError(
                    f"no category of {each.name} is left for one of the two sides; name fewer for the other."
                )
    return list(zip(sources, training, strict=True)), list(zip(targets, testing, strict=True))


def _divided(
    world: LabelledSet, training: tuple[str, ...], testing: tuple[str, ...], trained_named: bool, tested_named: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The synthetic world on both sides: what is not named goes to the other side, or every second to each."""
    if not trained_named and not tested_named:
        return world.categories[::2], world.categories[1::2]
    if not trained_named:
        return tuple(category for category in training if category not in testing), testing
    if not tested_named:
        return training, tuple(category for category in testing if category not in training)
    return training, testing


def _warn_of_overlap(source: Selection, target: Selection) -> None:
    if "synthetic" in (source[0].name, target[0].name):
        return  # What is drawn shares no more than the name.
    for category in sorted(set(source[1]) & set(target[1])):
        logger.warning(
            f"'{category}' is trained on in {source[0].name} and tested on in {target[0].name}: figures are not those "
            "of a category never seen."
        )


def list_images(parts: Sequence[Selection], values: MaskValues) -> DataFrame:
    """All images of a side.

    Args:
        parts: What there is.
        values: The levels of masks that are anomalous, for sets that do not say it themselves.

    Raises:
        InputError: A category is incomplete.
    """
    tables = []
    for each, categories in parts:
        listed = [each.samples(category) for category in categories]
        tables += listed if each.has_mask_rule or values is None else [with_mask_values(one, values) for one in listed]
    return pd.concat(tables, ignore_index=True)


def held_out(samples: DataFrame, fraction: float, seed: int) -> pd.Series:
    """Marks the validation part: of each category and label the fraction, at least one image of two or more.

    Raises:
        InputError: There are too few images, or the fraction is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise InputError(f"val_fraction={fraction} is not between 0 and 1; give the share to hold out.")
    generator = torch.Generator().manual_seed(seed)
    chosen = pd.Series(False, index=samples.index)
    for _, group in samples.sort_values("image_path").groupby(["set", "category", "label_index"]):
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
    """Sees to it that no file is on both sides, by whatever path.

    Raises:
        InputError: Some are, or a file is not there.
    """
    known = {_identity(path) for path in source["image_path"]}
    shared = [path for path in target["image_path"] if _identity(path) in known]
    if shared:
        raise InputError(_same_data(f"{len(shared)} images ({shared[0]} is one)"))


def _identity(path: str) -> str | tuple[int, int]:
    """Equal for two paths to one file, by links or otherwise."""
    if is_address(path):
        return path
    try:
        status = os.stat(path)
    except OSError as error:
        raise InputError(f"{path} cannot be used ({error.strerror}); remove or replace it.") from None
    return status.st_dev, status.st_ino


def _same_data(what: str) -> str:
    return f"{what} would be both trained on and tested on, which is not zero-shot; choose another source or target."
