"""Thresholds that good images stay below, with a guarantee that holds for any number of images (conformal prediction).

Of n + 1 images drawn alike, each is equally likely to have the k-th smallest score. So a further good image exceeds the
k-th smallest of n scores with a probability of at most 1 - k / (n + 1), whatever the distribution of scores is (Vovk et
al. 2005).
"""

from collections.abc import Sequence
from math import ceil

FALSE_ALARM_RATE = 0.01
"""Share of good images that may be labelled anomalous, unless the user chooses another."""
ROUNDING = 1e-9
"""So that 0.95 * 20, which is a little more than 19, counts as 19."""


def threshold_for(scores: Sequence[float], false_alarm_rate: float) -> float:
    """Return the smallest of some good images' scores that further good images exceed at no more than a rate.

    With fewer than 1 / rate - 1 images no score has this property; the largest one is returned then, see
    :func:`is_promised`.

    Args:
        scores: of good images, at least one.
        false_alarm_rate: in (0, 1).
    """
    rank = ceil((len(scores) + 1) * (1 - false_alarm_rate) - ROUNDING)
    return sorted(scores)[min(max(rank, 1), len(scores)) - 1]


def is_promised(images: int, false_alarm_rate: float) -> bool:
    """Tell whether that many images suffice for a guaranteed rate: none below 1 / (images + 1) can be."""
    return false_alarm_rate * (images + 1) >= 1 - ROUNDING


def without_highest(scores: Sequence[float], share: float) -> list[float]:
    """Return the scores without the highest ones, which an assumed share of anomalies is taken to have.

    Args:
        scores: of images with unknown labels.
        share: assumed share of anomalous images, in [0, 1). The number of them is rounded up.
    """
    return sorted(scores)[: len(scores) - ceil(share * len(scores) - ROUNDING)]
