"""Threads that draw while the model goes on: Pillow leaves the interpreter to others where it spends its time."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from anomalib_cops.distributed import processors

_THREADS_AT_MOST = 8


class DrawingPool:
    """Draws in a few threads, and never falls more than a few pictures behind, so that memory is bounded."""

    def __init__(self) -> None:
        self._threads = min(_THREADS_AT_MOST, processors())
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="drawing")
        self._waiting: deque[Future[None]] = deque()

    def submit(self, draw: Callable[..., None], *arguments: Any) -> None:
        """Take a picture on, after waiting for the oldest one where too many wait; raises what went wrong with that."""
        while len(self._waiting) >= 2 * self._threads:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(draw, *arguments))

    def finish(self) -> None:
        """Wait for all pictures; raises what went wrong with one of them."""
        try:
            while self._waiting:
                self._waiting.popleft().result()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Finish the pictures that were begun, and no others."""
        self._pool.shutdown(cancel_futures=True)
