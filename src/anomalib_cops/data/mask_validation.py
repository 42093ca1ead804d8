"""All masks of a data set at once: opened before hours are spent, and those that mark nothing are named."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from pandas import DataFrame

from anomalib_cops.data.masks import MaskValues, read_mask
from anomalib_cops.data.sets.samples import abbreviate
from anomalib_cops.errors import InputError

logger = logging.getLogger(__name__)


def validate_masks(samples: DataFrame) -> None:
    """Opens the masks of all anomalous images; warns of those whose mask is empty, which stay anomalous.

    Args:
        samples: As ``LabelledImages`` takes them, with ``mask_above`` and ``mask_values``.

    Raises:
        InputError: A mask cannot be read or does not say what is anomalous; or no mask of a category has any of the
            levels that were said to be anomalous.
    """
    having = samples[(samples["label_index"] == 1) & samples["masked"] & (samples["mask_path"] != "")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        empty = having.assign(empty=list(pool.map(_marks_nothing, having.itertuples())))
    for (name, category), group in empty.groupby(["set", "category"]):
        values = mask_values_of(group.iloc[0])
        if values is not None and group["empty"].all():
            raise InputError(
                f"no mask of {name}, {category}, has a level of mask_values={_shown(values)} "
                f"({group.iloc[0]['mask_path']} is one); name the levels that mean anomalous."
            )
    nothing = list(empty.loc[empty["empty"], "image_path"])
    if nothing:
        logger.warning(
            "%d of %d anomalous images have an empty mask (%s): they stay anomalous, but none of their pixels is.",
            *(len(nothing), len(empty), abbreviate(nothing)),
        )


def mask_values_of(row: Any) -> MaskValues:
    """The levels that are anomalous in the mask of a row; None if the kind of data set decides."""
    found = row.mask_values
    if isinstance(found, str):
        return "nonzero"
    return tuple(found) if isinstance(found, (tuple, list)) else None


def _marks_nothing(row: Any) -> bool:
    try:
        changed = os.stat(row.mask_path).st_mtime_ns
    except OSError as error:
        raise InputError(f"{row.mask_path} cannot be used ({error.strerror}); add it again.") from None
    return _is_empty(row.mask_path, changed, int(row.mask_above), mask_values_of(row))


# A file is opened again only after it was written to: harnesses set the same data up for every category.
@cache
def _is_empty(path: str, changed: int, above: int, values: MaskValues) -> bool:
    return not read_mask(path, above, values).any()


def _shown(values: MaskValues) -> str:
    return values if isinstance(values, str) else str(list(values or ()))
