"""Make a training step in several processes equal to that of one process with the whole batch.

Each of ``n`` processes gets every ``n``-th image of the batch, and gradients are averaged over the processes. Means
over images are right as they are. Sums over elements whose number differs between processes, and random numbers, are
not: the functions below correct them.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed
from torch.utils.data import DistributedSampler, Sampler


def place() -> tuple[int, int]:
    """Return the rank of this process and the number of processes; 0 and 1 without a process group."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def total(count: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """Return the sum of a count over all processes, without gradient."""
    _, processes = place()
    count = count.detach().clone()
    if processes > 1:
        distributed.all_reduce(count)
    return count


def mean_count(count: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """Return the mean of a count over all processes, which each process divides its own sum by.

    The total counts as at least one, so that empty sums stay 0.
    """
    _, processes = place()
    return total(count).clamp(min=1) / processes


def draw_rows(like: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
    """Draw standard normal numbers for the whole batch and return the rows of this process's images.

    Args:
        like: a tensor of the result's shape, type and device.
    """
    rank, processes = place()
    rows, dim = like.shape
    return torch.randn(rows * processes, dim, dtype=like.dtype, device=like.device)[rank::processes]


class Share(DistributedSampler[Any]):
    """Give this process its share of an image order; consecutive images go to different processes.

    Args:
        order: indices of all images, in the same order in every process.
        rank: rank of this process.
        processes: number of processes. If it does not divide the number of images, the first images are repeated at the
            end.
    """

    def __init__(self, order: Sampler[int], rank: int, processes: int) -> None:
        super().__init__(order, num_replicas=processes, rank=rank)  # type: ignore[arg-type] # only its length is used
        self.order = order

    def __iter__(self) -> Iterator[int]:
        """Iterate over the indices of this process's images."""
        order = list(self.order)
        order += order[: self.total_size - len(order)]
        return iter(order[self.rank :: self.num_replicas])
