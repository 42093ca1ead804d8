"""Time, arithmetic and memory of pieces of work that are compared with each other."""

import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

Work = Callable[[], Any]


def interleaved(works: Mapping[str, Work], repetitions: int) -> dict[str, dict[str, float]]:
    """Median and spread of every work's seconds; all take turns, so that a busy machine slows all of them alike.

    Args:
        works: By name; they have run before.
        repetitions: How often each is run.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repetitions):
        for name, work in works.items():
            seconds[name].append(timed(work))
    return {
        name: {"median": statistics.median(each), "least": min(each), "most": max(each)}
        for name, each in seconds.items()
    }


def timed(work: Work) -> float:
    """Seconds of one run, up to the end of what it started on a GPU."""
    _wait()
    start = time.perf_counter()
    work()
    _wait()
    return time.perf_counter() - start


def gflop(work: Work) -> float:
    """10^9 floating-point operations of matrix products, convolutions and attention, two per multiply-add.

    Unlike seconds they are exact. open_clip's fused inference path is switched off meanwhile, as it hides its products.
    """

    def attention(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        return int(sdpa_flop_count(query, key, value))

    # torch counts the attention of GPUs only.
    on_cpu = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False, custom_mapping=on_cpu) as counter:
            work()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return float(counter.get_total_flops()) / 1e9


def peak_gb(work: Work) -> float | None:
    """10^9 bytes by which the memory of this process rose above what it had; None where the system cannot tell."""
    status, marks = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    try:
        marks.write_text("5")  # forget the peak
    except OSError:
        return None
    before = _kilobytes(status, "VmRSS")
    work()
    return (_kilobytes(status, "VmHWM") - before) * 1024 / 1e9


def process_peak_gb() -> float:
    """10^9 bytes of this whole process at its largest."""
    status = Path("/proc/self/status")
    if status.exists():  # the other figure counts the parent's memory before this program took its place
        return _kilobytes(status, "VmHWM") * 1024 / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def _kilobytes(status: Path, field: str) -> int:
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(lines[field].split()[0])


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
