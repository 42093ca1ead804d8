"""What this process may use of the machine; needs the standard library alone."""

import os


def processors() -> int:
    """Return the number of processors this process may use; torch warns if a loader has more workers than that."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
