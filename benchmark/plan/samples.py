"""Choose the test images of a category, and digest them."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame


def limit_samples(samples: DataFrame, limit: int | None) -> DataFrame:
    """Return at most ``limit`` images of a category, evenly spread over sorted paths.

    Half of them are normal and half anomalous; where one kind has fewer images, the other one fills up.

    Args:
        samples: One row per image with ``image_path`` and ``label_index``.
        limit: Number of images; None for all.
    """
    if limit is None or len(samples) <= limit:
        return samples
    ordered = samples.sort_values("image_path")
    groups = [group for _, group in ordered.groupby("label_index")]
    shares = [min(len(group), limit // len(groups)) for group in groups]
    for place, group in enumerate(groups):
        shares[place] = min(len(group), limit - sum(shares) + shares[place])
    chosen = [
        group.iloc[np.linspace(0, len(group) - 1, share).round().astype(int)]
        for group, share in zip(groups, shares, strict=True)
        if share
    ]
    return ordered.loc[sorted(index for part in chosen for index in part.index)]


def samples_digest(samples: DataFrame) -> str:
    """Digest names, labels and file sizes; the digest changes if images are added, exchanged or relabelled.

    Returns:
        12 hexadecimal digits.
    """
    lines = sorted(
        f"{Path(row.image_path).name}\t{row.label}\t{row.label_index}\t{bool(row.mask_path)}\t{_size(row.image_path)}"
        for row in samples.itertuples()
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _size(path: Any) -> int:
    """Return the size of a file in bytes; -1 for a synthetic image, which is no file."""
    try:
        return os.path.getsize(path)
    except OSError:
        return -1
