"""Write files for a run that may be interrupted, and say in one sentence why a file cannot be written."""

import errno
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from anomalib_cops import files
from anomalib_cops.errors import InputError


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file as ``anomalib_cops.files.write_bytes`` does; hold Ctrl-C back until that is done.

    Raises:
        InputError: The disk is full, or the folder cannot be written to. The earlier file is still there.
    """
    with interrupts_deferred():
        try:
            files.write_bytes(path, content)
        except OSError as error:
            raise _input_error(error, path) from None


def write_text(path: Path, content: str) -> None:
    """Write text in UTF-8 as :func:`write_bytes` does."""
    write_bytes(path, content.encode())


def check_writable(folder: Path) -> None:
    """Make a folder if it is missing and write a probe to it, before hours are spent on results for it.

    Raises:
        InputError: The folder cannot be made or written to.
    """
    probe = folder / f".probe.{os.getpid()}"
    write_bytes(probe, b"x" * 4096)
    probe.unlink(missing_ok=True)


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Hold Ctrl-C back until the block has ended. Outside the main thread, where signals do not arrive, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[tuple[int, FrameType | None]] = []
    previous = signal.signal(signal.SIGINT, lambda number, frame: caught.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if caught and callable(previous):
            previous(*caught[0])


def _input_error(error: OSError, path: Path) -> InputError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return InputError(
            f"{path} could not be written: the disk is full; nothing that was there is lost, so make room and run the "
            "same command again."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(f"{path} could not be written: the folder is read-only; choose another with --output.")
    return InputError(f"{path} could not be written ({error.strerror}); choose another folder with --output.")
