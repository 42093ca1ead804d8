"""Measure time, arithmetic and memory of tasks that are compared with each other."""

import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

Task = Callable[[], Any]


def interleaved(tasks: Mapping[str, Task], repetitions: int) -> dict[str, dict[str, float]]:
    """Time tasks in turns, so that a busy machine slows all of them alike.

    Args:
        tasks: Tasks by name; each has run before, so that it is warm.
        repetitions: Number of runs of each task.

    Returns:
        Median, least and most seconds of each task.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repetitions):
        for name, task in tasks.items():
            seconds[name].append(timed(task))
    return {
        name: {"median": statistics.median(each), "least": min(each), "most": max(each)}
        for name, each in seconds.items()
    }


def timed(task: Task) -> float:
    """Return the seconds of one run, up to the end of what it started on a GPU."""
    _wait()
    start = time.perf_counter()
    task()
    _wait()
    return time.perf_counter() - start


def gflop(task: Task) -> float:
    """Count floating-point operations of matrix products, convolutions and attention, two per multiply-add, in 10^9.

    Unlike seconds, the count is exact. open_clip's fused inference path is switched off meanwhile, as it hides its
    products from the counter.
    """

    def attention(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        return int(sdpa_flop_count(query, key, value))

    # By itself, torch counts attention on GPUs only.
    on_cpu = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False, custom_mapping=on_cpu) as counter:
            task()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return float(counter.get_total_flops()) / 1e9


def peak_gb(task: Task) -> float | None:
    """Return by how much the memory of this process rose during a task, in 10^9 bytes; None where it is unknown."""
    status, marks = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    try:
        marks.write_text("5")  # reset the peak
    except OSError:
        return None
    before = _kilobytes(status, "VmRSS")
    task()
    return (_kilobytes(status, "VmHWM") - before) * 1024 / 1e9


def process_peak_gb() -> float:
    """Return the peak memory of this process so far, in 10^9 bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would include the parent's memory before exec
        return _kilobytes(status, "VmHWM") * 1024 / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def _kilobytes(status: Path, field: str) -> int:
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(lines[field].split()[0])


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
