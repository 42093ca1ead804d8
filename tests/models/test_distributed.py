"""Test that training in several processes equals training in one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import RandomSampler

from anomalib_cops.distributed import Share, draw_rows, mean_count
from anomalib_cops.registry import MODELS

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.alone


def printed_by(module: str, *arguments: str | Path) -> Any:
    """Run a module that starts processes, and return the JSON in the last line that it prints."""
    run = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.splitlines()[-1])


def test_two_processes_learn_what_one_does_with_the_whole_batch_and_find_its_figures(tmp_path: Path) -> None:
    apart = printed_by("tests.models.processes", tmp_path, "CoPS", "AnomalyCLIP")
    assert len(apart["figures"]) == 12, "six figures and six means"
    assert {len(tensors) > 0 for tensors in apart.values()} == {True}
    worst = {f"{method}.{name}": value for method, tensors in apart.items() for name, value in tensors.items()}
    assert {name: value for name, value in worst.items() if not value <= 1e-4} == {}


def test_two_processes_learn_what_one_does_from_a_batch_in_which_masks_are_missing(tmp_path: Path) -> None:
    apart = printed_by("tests.models.masks_in_processes", tmp_path, *MODELS)
    assert len(apart) == 4 * len(MODELS) - 1, "four kinds of batches; VCP-CLIP refuses one"
    assert {name: value for name, value in apart.items() if not value <= 1e-4} == {}


@pytest.mark.parametrize(("images", "processes", "batch"), [(12, 2, 2), (13, 3, 2), (5, 4, 1)])
def test_processes_share_out_every_batch(images: int, processes: int, batch: int) -> None:
    def order() -> RandomSampler:
        return RandomSampler(range(images), generator=torch.Generator().manual_seed(0))

    whole = list(order())
    shares = [list(Share(order(), rank, processes)) for rank in range(processes)]
    assert {len(share) for share in shares} == {-(-images // processes)}
    for start in range(0, images // processes, batch):
        together = {index for share in shares for index in share[start : start + batch]}
        assert together == set((whole + whole)[start * processes : (start + batch) * processes])


def test_one_process_has_the_whole_order_and_batch() -> None:
    order = RandomSampler(range(7), generator=torch.Generator().manual_seed(0))
    assert sorted(Share(order, 0, 1)) == list(range(7))
    torch.manual_seed(1)
    drawn = draw_rows(torch.zeros(3, 40))
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.randn(3, 40))
    assert mean_count(torch.tensor(0.0)) == 1 and mean_count(torch.tensor(5.0)) == 5
