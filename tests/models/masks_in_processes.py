"""Compute the loss of a mixed batch in one process and in two, and print the largest difference of a gradient."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, multiprocessing

from tests.models.cases import SIDE, encoder, make

MASKED = {
    "some each": [True, True, False, True, False, True],
    "one process without": [True, False, True, False, False, False],
    "all": [True] * 6,
    "none": [False] * 6,
}
"""Which images of a batch have masks; of two processes, the first has the images of even number."""

# Rounding to float16 differs between the gradient of a whole batch and the sum over its parts.
EXACT = {
    "AdaCLIP": {"half_prompts": False},
    "AnomalyCLIP": {"half_deep_prompts": False},
    "CoPS": {"half_deep_prompts": False},
    "LinearProbe": {},
    "VCPCLIP": {},
}


def gradients(method: str, masked: list[bool], rank: int, processes: int) -> dict[str, Tensor]:
    """Compute the gradients of the images of one process."""
    images = torch.randn(6, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    masks, labels = torch.zeros(6, SIDE, SIDE), torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 0.0])
    masks[labels > 0, :11, 20:] = 1
    model = make(method, encoder(), **EXACT[method])
    torch.manual_seed(5)
    own = slice(rank, None, processes)
    model.loss(images[own], masks[own], labels[own], masked=torch.tensor(masked)[own])["loss"].backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def one_of_two(rank: int, folder: str, method: str, masked: list[bool]) -> None:
    """Average the gradients of two processes, as a training does, and save them."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = gradients(method, masked, rank, 2)
    for value in found.values():
        distributed.all_reduce(value)
        value /= 2
    if rank == 0:
        torch.save(found, Path(folder) / "found.pt")
    distributed.destroy_process_group()


def difference(folder: Path, method: str, masked: list[bool]) -> float:
    """Return the largest difference, relative to the largest gradient; infinite if other parameters have one."""
    folder.mkdir(parents=True)
    multiprocessing.start_processes(one_of_two, (str(folder), method, masked), nprocs=2, start_method="fork")
    two, one = torch.load(folder / "found.pt"), gradients(method, masked, 0, 1)
    if set(one) != set(two):
        return float("inf")
    largest = max(value.abs().max().item() for value in one.values())
    return max((value - two[name]).abs().max().item() for name, value in one.items()) / largest


if __name__ == "__main__":
    torch.set_num_threads(1)  # more threads do not survive the fork
    found: dict[str, Any] = {
        f"{method}, {kind}": difference(Path(sys.argv[1]) / method / kind.replace(" ", "-"), method, masked)
        for method in sys.argv[2:]
        for kind, masked in MASKED.items()
        if not (method == "VCPCLIP" and kind == "none")
    }
    print(json.dumps(found))
