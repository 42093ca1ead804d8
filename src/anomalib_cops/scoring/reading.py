"""Decode images ahead in worker processes, in order, with a bounded number of decoded ones in memory."""

import io
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait

from anomalib_cops.errors import InputError
from anomalib_cops.images.decoding import ImageSource
from anomalib_cops.inference.pictures import Picture, read_picture
from anomalib_cops.scoring.file_systems import describe, read_bytes
from anomalib_cops.scoring.listing import Found

# No more images are begun while decoded ones that wait for the model take more than this.
_WAITING_BYTES = 2**30
POLITENESS = 10
"""By how much the priority of workers is below that of the model, as of the command ``nice``."""
_DEAD = "the process that reads it ended without a word, twice: its decoder crashes, or memory is short"


@dataclass(frozen=True)
class Read:
    """What reading an image gave.

    Attributes:
        found: the image.
        picture: its content; None if it cannot be read.
        error: why it cannot be read.
    """

    found: Found
    picture: Picture | None = None
    error: str | None = None


@dataclass(frozen=True)
class Wanted:
    """What is wanted of every image.

    Attributes:
        max_pixels: size in pixels above which an image is refused; Pillow's limit if None.
        input_size: height and width of the model's input; None if the model takes images at their own size.
        keeps_levels: keep images at their own size as well, for result pictures.
    """

    max_pixels: int | None = None
    input_size: tuple[int, int] | None = None
    keeps_levels: bool = True

    def read(self, source: ImageSource, name: str) -> Picture:
        """Decode and resize an image."""
        picture = read_picture(source, name, self.max_pixels)
        return picture if self.input_size is None else picture.resized_to(self.input_size, self.keeps_levels)


DEFAULT = Wanted()


def read(found: Found, wanted: Wanted = DEFAULT) -> Read:
    """Read one image; an image that cannot be read gives the reason.

    Args:
        found: the image.
        wanted: what is wanted of it.
    """
    if found.error is not None:
        return Read(found, error=found.error)
    try:
        if found.address is None:
            return Read(found, wanted.read(found.location, found.path))
        content = io.BytesIO(read_bytes(found.address, found.location))
        return Read(found, wanted.read(content, found.path))
    except InputError as error:
        return Read(found, error=str(error))
    except MemoryError:
        return Read(found, error=f"{found.path} cannot be used: it takes more memory than there is")
    except Exception as error:  # decoders raise errors of any kind
        return Read(found, error=f"{found.path} cannot be used: {describe(error)}")


def read_ahead(images: Iterable[Found], workers: int, ahead: int, wanted: Wanted = DEFAULT) -> Iterator[Read]:
    """Read images in their order.

    Args:
        images: what to read; taken one by one as there is room.
        workers: processes that read; 0 reads in this process.
        ahead: images that are being read or wait for the model, at most.
        wanted: what is wanted of every image.

    Yields:
        What reading each image gave. An image whose worker dies is read a second time; if that one dies too, the image
        gives that as its reason.
    """
    if workers < 1:
        yield from (read(found, wanted) for found in images)
        return
    pool = Pool(workers, wanted)
    try:
        yield from read_with(pool, iter(images), max(ahead, workers))
    finally:
        pool.close()


def read_with(pool: "Pool", images: Iterator[Found], ahead: int) -> Iterator[Read]:
    """Read images in their order with worker processes that are there already; see :func:`read_ahead`."""
    waiting: deque[tuple[Found, Future[Read]]] = deque()
    is_more = True
    while is_more or waiting:
        while is_more and len(waiting) < ahead and (not waiting or _waiting_bytes(waiting) < _WAITING_BYTES):
            found = next(images, None)
            if found is None:
                is_more = False
            else:
                waiting.append((found, pool.submit(found)))
        if not waiting:
            return
        found, future = waiting.popleft()
        try:
            yield future.result()
        except BrokenProcessPool:
            # It is unknown whose worker died. Read each image alone, so that only the bad one is blamed.
            pool.restart()
            for suspect in [found, *(each for each, _ in waiting)]:
                yield _read_alone(pool, suspect)
            waiting.clear()


def _read_alone(pool: "Pool", found: Found) -> Read:
    try:
        return pool.submit(found).result()
    except BrokenProcessPool:
        pool.restart()
        return Read(found, error=f"{found.path} cannot be used: {_DEAD}")


def _waiting_bytes(waiting: Iterable[tuple[Found, "Future[Read]"]]) -> int:
    ready = (future.result() for _, future in waiting if future.done() and future.exception() is None)
    return sum(each.picture.levels.nbytes for each in ready if each.picture is not None)


class Pool:
    """Worker processes that can be started anew after one has died.

    Args:
        workers: number of processes.
        wanted: what is wanted of every image.
    """

    def __init__(self, workers: int, wanted: Wanted = DEFAULT) -> None:
        self._workers = workers
        self._wanted = wanted
        self._executor = self._start()

    def submit(self, found: Found) -> "Future[Read]":
        """Begin to read an image."""
        try:
            return self._executor.submit(read, found, self._wanted)
        except BrokenProcessPool as error:
            broken: Future[Read] = Future()
            broken.set_exception(error)
            return broken

    def restart(self) -> None:
        """Start the processes anew."""
        self.close()
        self._executor = self._start()

    def close(self) -> None:
        """End the processes, without waiting for them."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> ProcessPoolExecutor:
        # Not forked: a fork would inherit the lock of the table, and threads of the model may not survive it.
        return ProcessPoolExecutor(self._workers, multiprocessing.get_context("spawn"), _prepare_worker)


def _prepare_worker() -> None:
    """Prepare a worker: let the model go first, and end when the process that runs it is gone.

    It would otherwise wait for ever. Ctrl-C is left to that process, which finishes its table first.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Threads of the model wait for each other many times per image, so all lose what one loses to a worker.
    if hasattr(os, "nice"):
        os.nice(POLITENESS)
    parent = multiprocessing.parent_process()
    if parent is not None:
        sentinel = parent.sentinel
        threading.Thread(target=lambda: (wait([sentinel]), os._exit(1)), daemon=True).start()
