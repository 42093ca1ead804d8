"""Measure the peak memory of a process or an accelerator."""

import resource
import sys

import torch


def peak_memory() -> int:
    """Return bytes: of the accelerator since the last reset where there is one, else of this process so far."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def reset_peak_memory() -> None:
    """Forget the accelerator's peak; a process's own peak cannot be reset."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
