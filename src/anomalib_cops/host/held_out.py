"""Hold categories of the auxiliary set out, to compare models on images of what they have not seen."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from pandas import DataFrame

from anomalib_cops.data.splits import mark_validation
from anomalib_cops.errors import InputError

HELD_OUT = 0.25
"""Share of the categories that is held out; at least one."""
FEWEST_CATEGORIES = 3
"""Number of categories below which a share of the images of each is held out, instead of whole categories."""
Rows: TypeAlias = npt.NDArray[np.bool_]
"""One value for each row of a table of samples."""


def held_out_rows(samples: DataFrame, seed: int) -> Rows:
    """Return for each row of a table of samples whether it is held out.

    Args:
        samples: with the columns of ``LabelledImages``.
        seed: decides with the names of the categories which of them are held out, or with the paths of the images
            which of these, if there are few categories.

    Raises:
        InputError: there are few categories, and they have too few images to hold any out.
    """
    categories = categories_of(samples)
    names = sorted(set(categories))
    if len(names) < FEWEST_CATEGORIES:
        try:
            return mark_validation(samples, HELD_OUT, seed).to_numpy()
        except InputError:
            raise InputError(
                f"{' and '.join(names)} {'has' if len(names) == 1 else 'have'} too few normal or anomalous images to "
                f"hold some out; train on {FEWEST_CATEGORIES} categories or more, or give a number such as "
                "n_prototypes=6."
            ) from None
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    chosen = [names[index] for index in order[: max(1, round(HELD_OUT * len(names)))]]
    return np.isin(categories, chosen)


def categories_of(samples: DataFrame) -> npt.NDArray[np.object_]:
    """Return the category of each row as ``set/category``."""
    return (samples["set"].astype(str) + "/" + samples["category"].astype(str)).to_numpy(object)
