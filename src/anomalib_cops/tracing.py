"""Detect whether the computation is being recorded as a graph."""

import torch


def tracing() -> bool:
    """Return whether an export or ``torch.jit`` is recording operations for a graph that will run without Python."""
    exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)
    return bool(torch.jit.is_tracing() or exporting())
