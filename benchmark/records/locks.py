"""Take a lock for the length of a block, if it is free."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout


@contextmanager
def try_lock(lock: FileLock) -> Iterator[bool]:
    """Take a lock for the block if it is free, and yield whether it was."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
