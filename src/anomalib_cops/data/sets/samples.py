"""Tables of samples: one row per image of a category, and checks that nothing is missing."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pandas import DataFrame

from anomalib_cops.data.masks import MaskValues
from anomalib_cops.errors import InputError

GOOD = "good"
MASK_ENDINGS = ("", "_mask", "_label", "_gt", "_segmentation", "_Segmentation")
"""Endings that the name of a mask adds to that of its image."""


class SampleRow(NamedTuple):
    """Row of one image.

    Attributes:
        image_path: File of the image.
        label: ``good``, or the kind of defect.
        label_index: 0 normal, 1 anomalous.
        mask_path: File of the mask; empty if there is none. The mask of a normal image is only checked.
    """

    image_path: str
    label: str
    label_index: int
    mask_path: str = ""


def normal_row(image: Path, mask: Path | None = None) -> SampleRow:
    """Make the row of a normal image; if it has a mask, that should be empty."""
    return SampleRow(str(image), GOOD, 0, str(mask or ""))


def anomalous_row(image: Path, kind: str, mask: Path | None) -> SampleRow:
    """Make the row of an anomalous image with a kind of defect, with or without a mask."""
    return SampleRow(str(image), kind, 1, str(mask or ""))


def sample_table(rows: Iterable[SampleRow], *, name: str, category: str, masked: bool, mask_above: int) -> DataFrame:
    """Make the table of a category as ``LabelledImages`` takes it, except for the column ``split``.

    Args:
        rows: Rows of its images.
        name: Name of the data set.
        category: Name of the category.
        masked: Whether anomalous pixels are known.
        mask_above: Grey level of a mask above which a pixel is anomalous, by its brightest channel, in [0, 254].
    """
    samples = DataFrame(list(rows), columns=list(SampleRow._fields))
    samples = samples.assign(set=name, category=category, masked=masked, mask_above=mask_above)
    return with_mask_values(samples, None)


def with_mask_values(samples: DataFrame, values: MaskValues) -> DataFrame:
    """Return the table with anomalous levels of masks that a user has named; None leaves ``mask_above`` in force."""
    return samples.assign(mask_values=[values] * len(samples))


def mask_values_of(row: Any) -> MaskValues:
    """Return the anomalous levels in the mask of a row; None if ``mask_above`` decides."""
    found = row.mask_values
    if isinstance(found, str):
        return "nonzero"
    return tuple(found) if isinstance(found, (tuple, list)) else None


def require_complete(
    samples: DataFrame,
    place: Path | str,
    *,
    labels: tuple[int, ...] = (0, 1),
    expected: str,
    describe_masks: Callable[[], str] = str,
) -> DataFrame:
    """Return a category unchanged if nothing is missing.

    Args:
        samples: Table of the category.
        place: Where its images were looked for, for the message.
        labels: Labels that there have to be.
        expected: Files that were looked for, for the message.
        describe_masks: Describes the masks that there are, for the message if none belongs to an image; by default it
            returns an empty text.

    Raises:
        InputError: Images of a label are missing, or the masks of some anomalous images; or an image has both labels.
    """
    for kind in missing_labels(samples, labels):
        raise InputError(f"{place} has no {kind} images; expected are {expected}.")
    missing = images_without_mask(samples)
    if missing:
        masks = "" if (samples["mask_path"] != "").any() else describe_masks()
        there = f"; {masks}" if masks else ""
        raise InputError(
            f"{place} has no mask for {abbreviate(missing)}{there}; add what is missing, or move all masks away to use "
            "image labels only."
        )
    labelled = samples.groupby("image_path")["label_index"].nunique()
    if (labelled > 1).any():
        raise InputError(
            f"{place} has {abbreviate(list(labelled.index[labelled > 1]))} among the normal and the anomalous images; "
            "give each image once."
        )
    return samples


def abbreviate(names: list[str], at_most: int = 3) -> str:
    """Join the first names of a list, and say how many more there are."""
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return f"{', '.join(names[:at_most])}{more}"


def missing_labels(samples: DataFrame, labels: tuple[int, ...] = (0, 1)) -> list[str]:
    """Return the required labels that no image has, as "normal" and "anomalous"."""
    kinds = ((0, "normal"), (1, "anomalous"))
    return [kind for label, kind in kinds if label in labels and not (samples["label_index"] == label).any()]


def images_without_mask(samples: DataFrame) -> list[str]:
    """Return the anomalous images that have no mask file although their category has masks."""
    bare = (samples["label_index"] == 1) & (samples["mask_path"] == "") & samples["masked"]
    return list(samples.loc[bare, "image_path"])
