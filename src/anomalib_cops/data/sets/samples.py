"""One category as a table: a row per image, and what has to be true of it."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from pandas import DataFrame

from anomalib_cops.data.masks import MaskValues
from anomalib_cops.errors import InputError

GOOD = "good"
# What the name of a mask adds to that of its image.
MASK_ENDINGS = ("", "_mask", "_label", "_gt", "_segmentation", "_Segmentation")


class Row(NamedTuple):
    """One image.

    Attributes:
        image_path: The file.
        label: ``good``, or the kind of defect.
        label_index: 0 normal, 1 anomalous.
        mask_path: Its mask; empty where there is none. That of a normal image is not read.
    """

    image_path: str
    label: str
    label_index: int
    mask_path: str = ""


def normal(image: Path, mask: Path | None = None) -> Row:
    """A normal image; a mask that it has nevertheless ought to be empty."""
    return Row(str(image), GOOD, 0, str(mask or ""))


def anomalous(image: Path, kind: str, mask: Path | None) -> Row:
    """An anomalous image, with or without a mask."""
    return Row(str(image), kind, 1, str(mask or ""))


def table(rows: Iterable[Row], *, name: str, category: str, masked: bool, mask_above: int) -> DataFrame:
    """Rows of one category as ``LabelledImages`` takes them, but for ``split``.

    Args:
        rows: Its images.
        name: The data set.
        category: The category.
        masked: Whether anomalous pixels are known.
        mask_above: A pixel is anomalous where the brightest channel of its mask is above this, in [0, 254].
    """
    samples = DataFrame(list(rows), columns=list(Row._fields))
    samples = samples.assign(set=name, category=category, masked=masked, mask_above=mask_above)
    return with_mask_values(samples, None)


def with_mask_values(samples: DataFrame, values: MaskValues) -> DataFrame:
    """The same rows, whose masks are read by levels that a user has named; None leaves it to ``mask_above``."""
    return samples.assign(mask_values=[values] * len(samples))


def complete(
    samples: DataFrame,
    place: Path | str,
    *,
    labels: tuple[int, ...] = (0, 1),
    expected: str,
    masks: Callable[[], str] = str,
) -> DataFrame:
    """Passes a category on if nothing is missing.

    Args:
        samples: What was found.
        place: Where.
        labels: Which labels there have to be.
        expected: What was looked for, for the message.
        masks: Says which masks there are, for the message should none belong to an image; nothing by default.

    Raises:
        InputError: Images of a label are missing, or the masks of some anomalous images; or an image has both labels.
    """
    for kind in absent(samples, labels):
        raise InputError(f"{place} has no {kind} images; expected are {expected}.")
    missing = images_without_mask(samples)
    if missing:
        there = f"; {masks()}" if not (samples["mask_path"] != "").any() and masks() else ""
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
    """The first few, and how many more there are."""
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return f"{', '.join(names[:at_most])}{more}"


def absent(samples: DataFrame, labels: tuple[int, ...] = (0, 1)) -> list[str]:
    """Of "normal" and "anomalous" those that there have to be, but of which there are no images."""
    kinds = ((0, "normal"), (1, "anomalous"))
    return [kind for label, kind in kinds if label in labels and not (samples["label_index"] == label).any()]


def images_without_mask(samples: DataFrame) -> list[str]:
    """Anomalous images without a mask file, of a category that has masks."""
    bare = (samples["label_index"] == 1) & (samples["mask_path"] == "") & samples["masked"]
    return list(samples.loc[bare, "image_path"])
