"""Whether the computation is being recorded as a graph."""

import torch


def tracing() -> bool:
    """Tell whether operations are recorded for a graph that will run without Python, by an export or ``torch.jit``."""
    exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)
    return bool(torch.jit.is_tracing() or exporting())
