"""Tables of samples: one row per image of a category, and checks that nothing is missing."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from pandas import DataFrame

from anomalib_cops.data.masks import MaskValues
from anomalib_cops.errors import InputError

GOOD = "good"
MaskUse = Literal["auto", "some", "none"]
"""Masks of a source that a training uses: those of categories whose anomalous images all have one, also those of
categories in which some have one, or none."""
MASK_USES: tuple[MaskUse, ...] = get_args(MaskUse)
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
    masks: MaskUse | None = None,
    describe_masks: Callable[[], str] = str,
    unused_masks: Callable[[], list[str]] = list,
) -> DataFrame:
    """Return a category unchanged if nothing is missing.

    Args:
        samples: Table of the category.
        place: Where its images were looked for, for the message.
        labels: Labels that there have to be.
        expected: Files that were looked for, for the message.
        masks: Masks that a training uses; None for a target, which needs all of its masks.
        describe_masks: Describes the masks that there are, for the message if none belongs to an image; by default it
            returns an empty text.
        unused_masks: Returns the masks that belong to no image; by default none.

    Raises:
        InputError: Images of a label are missing; or the masks of some anomalous images, unless ``masks`` allows it; or
            an image has both labels.
    """
    for kind in missing_labels(samples, labels):
        raise InputError(f"{place} has no {kind} images; expected are {expected}.")
    if masks != "none":
        _check_masks(samples, place, masks, describe_masks, unused_masks)
    labelled = samples.groupby("image_path")["label_index"].nunique()
    if (labelled > 1).any():
        raise InputError(
            f"{place} has {abbreviate(list(labelled.index[labelled > 1]))} among the normal and the anomalous images; "
            "give each image once."
        )
    return samples


def _check_masks(
    samples: DataFrame,
    place: Path | str,
    masks: MaskUse | None,
    describe_masks: Callable[[], str],
    unused_masks: Callable[[], list[str]],
) -> None:
    """Refuse missing masks; with ``masks="some"`` only if a mask of another name may be the missing one."""
    missing = images_without_mask(samples)
    if not missing:
        return
    said = f"{place} has no mask for {abbreviate(missing)}"
    some_have_one = len(missing) < (samples["label_index"] == 1).sum()
    if masks == "some" and some_have_one:
        if unused := unused_masks():
            raise InputError(
                f"{said}, and {abbreviate(unused)} belongs to no image; name the masks as their images, or move away "
                "those of other images."
            )
        return
    described = "" if (samples["mask_path"] != "").any() else describe_masks()
    there = f"; {described}" if described else ""
    away = "move all masks away to use image labels only"
    if masks is None:
        remedy = f"or {away}"
    elif some_have_one:
        remedy = f'{away}, or give masks="some" to train these images by their labels alone'
    else:
        remedy = f'{away}, or give masks="none", which does the same'
    raise InputError(f"{said}{there}; add what is missing, {remedy}.")


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
