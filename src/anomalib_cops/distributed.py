"""Training in several processes: what makes a step the same as that of one process with the whole batch.

Each process has every ``n``-th image of the batch, and gradients are averaged over the processes. Means over images
need nothing; sums over something that the processes do not have equally much of, and random numbers, do.
"""

import os
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed
from torch.utils.data import DistributedSampler, Sampler


def processors() -> int:
    """Those that this process may use; torch warns of more workers than these."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def place() -> tuple[int, int]:
    """Number of this process and how many there are; 0 and 1 without a process group."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def mean_count(count: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """Mean over the processes, but not below one in all: what a process divides its own sum by."""
    _, processes = place()
    count = count.detach().clone()
    if processes > 1:
        distributed.all_reduce(count)
    return count.clamp(min=1) / processes


def draw_rows(like: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
    """Standard normal numbers for this process's images: its rows of one draw for the whole batch."""
    rank, processes = place()
    rows, dim = like.shape
    return torch.randn(rows * processes, dim, dtype=like.dtype, device=like.device)[rank::processes]


class Share(DistributedSampler[Any]):
    """Every process's share of an order that all of them draw alike: consecutive images go to different processes.

    Args:
        order: all images; in every process the same.
        rank: number of the process.
        processes: how many there are. The order is lengthened by its first images until it can be shared out evenly.
    """

    def __init__(self, order: Sampler[int], rank: int, processes: int) -> None:
        super().__init__(order, num_replicas=processes, rank=rank)  # type: ignore[arg-type] # its length is asked for
        self.order = order

    def __iter__(self) -> Iterator[int]:
        """Indices of this process's images."""
        order = list(self.order)
        order += order[: self.total_size - len(order)]
        return iter(order[self.rank :: self.num_replicas])
