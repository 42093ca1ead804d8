"""Images of a batch whose masks are known, for losses that compare pixels; all other losses use the whole batch."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from anomalib_cops.distributed import place, total


@dataclass(frozen=True)
class MaskedRows:
    """The images with masks, and the weight of their mean loss among several processes.

    Attributes:
        index: numbers of these images in the batch; None for all images.
        weight: factor of a mean over these images, so that the mean over processes is that of the whole batch; None for
            one.
    """

    index: Tensor | None = None
    weight: Tensor | None = None

    def of(self, values: Shaped[Tensor, "..."], dim: int = 0) -> Shaped[Tensor, "..."]:
        """Return the values of these images; ``dim`` is the axis of the batch."""
        return values if self.index is None else values.index_select(dim, self.index)

    def weigh(self, mean: Float[Tensor, "*terms"]) -> Float[Tensor, "*terms"]:
        """Weigh a loss that is a mean over these images."""
        return mean if self.weight is None else mean * self.weight


def masked_rows(masked: Bool[Tensor, " batch"] | None) -> MaskedRows | None:
    """Find the images of a batch whose masks are known.

    Args:
        masked: whether the mask of each image is known; None if all are, so that nothing is selected or weighed. In
            several processes, either all of them give None or none does.

    Returns:
        The images; None if the whole batch, in all processes, has no mask. A process without any, beside others that
        have some, gets all its images with a weight of 0, so that it has the same parameters to synchronise.
    """
    if masked is None:
        return MaskedRows()
    _, processes = place()
    count = masked.sum()
    if processes == 1:
        if masked.all():
            return MaskedRows()
        return MaskedRows(masked.nonzero()[:, 0]) if masked.any() else None
    everywhere = total(count.float())
    if not everywhere > 0:
        return None
    return MaskedRows(masked.nonzero()[:, 0] if count > 0 else None, count * processes / everywhere)
