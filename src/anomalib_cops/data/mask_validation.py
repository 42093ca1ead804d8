"""Validation of all masks of a data set at once, before hours are spent on a training."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from pandas import DataFrame

from anomalib_cops.data.masks import MaskValues, read_mask
from anomalib_cops.data.sets.samples import abbreviate, mask_values_of
from anomalib_cops.errors import InputError

logger = logging.getLogger(__name__)


def validate_masks(samples: DataFrame) -> None:
    """Open the masks of all anomalous images, and warn of empty ones; their images stay anomalous.

    Args:
        samples: Table of samples as ``LabelledImages`` takes it, with ``mask_above`` and ``mask_values``.

    Raises:
        InputError: A mask cannot be read or does not tell which pixels are anomalous; or no mask of a category has any
            of its ``mask_values``.
    """
    rows = samples[(samples["label_index"] == 1) & samples["masked"] & (samples["mask_path"] != "")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = rows.assign(empty=list(pool.map(_has_empty_mask, rows.itertuples())))
    for (name, category), group in rows.groupby(["set", "category"]):
        values = mask_values_of(group.iloc[0])
        if values is not None and group["empty"].all():
            raise InputError(
                f"no mask of {name}, {category}, has a level of mask_values={_shown(values)} "
                f"({group.iloc[0]['mask_path']} is one); name the levels that mean anomalous."
            )
    empty = list(rows.loc[rows["empty"], "image_path"])
    if empty:
        logger.warning(
            "%d of %d anomalous images have an empty mask (%s): they stay anomalous, but none of their pixels is.",
            *(len(empty), len(rows), abbreviate(empty)),
        )


def _has_empty_mask(row: Any) -> bool:
    try:
        changed = os.stat(row.mask_path).st_mtime_ns
    except OSError as error:
        raise InputError(f"{row.mask_path} cannot be used ({error.strerror}); add it again.") from None
    return _is_empty(row.mask_path, changed, int(row.mask_above), mask_values_of(row))


# Benchmarks set the same data up for every category; a mask is opened again only after its file has changed.
@cache
def _is_empty(path: str, changed: int, above: int, values: MaskValues) -> bool:
    return not read_mask(path, above, values).any()


def _shown(values: MaskValues) -> str:
    return values if isinstance(values, str) else str(list(values or ()))
