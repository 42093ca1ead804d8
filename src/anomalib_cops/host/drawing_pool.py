"""Threads that draw pictures while the model goes on; Pillow releases the interpreter lock in its slow functions."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from anomalib_cops.machine import processors

_THREADS_AT_MOST = 8


class DrawingPool:
    """Pool of a few threads with a short queue, so that waiting pictures take bounded memory."""

    def __init__(self) -> None:
        self._threads = min(_THREADS_AT_MOST, processors())
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="drawing")
        self._waiting: deque[Future[None]] = deque()

    def submit(self, draw: Callable[..., None], *arguments: Any) -> None:
        """Queue a picture; if the queue is full, wait for the oldest one first, and raise its error if it failed."""
        while len(self._waiting) >= 2 * self._threads:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(draw, *arguments))

    def finish(self) -> None:
        """Wait for all pictures, and raise the error of the first that failed."""
        try:
            while self._waiting:
                self._waiting.popleft().result()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Finish the pictures that were started, and drop the others."""
        self._pool.shutdown(cancel_futures=True)
