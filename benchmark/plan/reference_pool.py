"""Divide the images of a category into those that references are taken from and those that are tested."""

import random
from dataclasses import dataclass

from pandas import DataFrame

from anomalib_cops.data.good_images import contents_of, with_content_of
from anomalib_cops.data.sets.samples import abbreviate
from anomalib_cops.errors import InputError

from .reference_draw import ReferenceDraw
from .samples import limit_samples, samples_digest


@dataclass(frozen=True)
class CategoryImages:
    """Images of one category.

    Attributes:
        test: The images that are tested.
        pool: Normal images that references are taken from, in the order in which they are drawn; empty without
            references.
    """

    test: DataFrame
    pool: DataFrame

    @property
    def digest(self) -> str:
        """Digest of all of them; the same for every number of references of one draw."""
        test = samples_digest(self.test)
        return test if self.pool.empty else f"{test}-{samples_digest(self.pool)}"


def divide(samples: DataFrame, references: ReferenceDraw | None, limit: int | None) -> CategoryImages:
    """Draw the pool of references from the normal images, and limit the other images to those that are tested.

    The pool is drawn first, from all normal images of the category, so that a limit costs no test image.

    Args:
        samples: All images of the category, one row each.
        references: The draw; None for no references.
        limit: Largest number of test images; all if None.

    Raises:
        InputError: There is no image to spare for the references, or a test image has the content of one.
    """
    if references is None:
        return CategoryImages(limit_samples(samples, limit), samples.iloc[:0])
    normal = samples[samples["label_index"] == 0].sort_values("image_path")
    order = list(normal.index)
    random.Random(references.draw).shuffle(order)
    chosen = order[: min(references.largest, len(order) // 2)]
    if references.shots and not chosen:
        raise InputError(
            f"there are {len(order)} normal images, of which none can be spared for references, as at least half of "
            "them are tested; add some, or test the data set without references."
        )
    pool = samples.loc[chosen]
    test = limit_samples(samples.drop(index=chosen), limit)
    if shared := with_content_of(test["image_path"], contents_of(list(pool["image_path"]))):
        raise InputError(
            f"{abbreviate(shared)} of the test images {'has' if len(shared) == 1 else 'have'} the same content as an "
            "image that references are taken from, so figures would be too good; keep one copy of each image."
        )
    return CategoryImages(test, pool)
