"""Files that appear complete or not at all, even if the power fails."""

import errno
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from anomalib_cops.errors import InputError


def write_bytes(path: Path, content: bytes) -> None:
    """Write to a temporary file, flush it to the disk, then rename it; Ctrl-C waits until that is done.

    Two processes never write the same file at once: whoever writes holds its lock. So the temporary name is fixed, and
    what a killed process left is written over.

    Raises:
        InputError: The disk is full, or the folder cannot be written to; what was there before is still there.
    """
    unfinished = path.with_name(f".{path.name}.tmp")
    with interrupts_deferred():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
            _sync_folder(path.parent)
        except OSError as error:
            raise _sentence(error, path) from None
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """Write text as ``write_bytes`` does."""
    write_bytes(path, content.encode())


def check_writable(folder: Path) -> None:
    """Try to write to a folder, which is made if need be, before hours are spent.

    Raises:
        InputError: It cannot be made or written to.
    """
    probe = folder / f".probe.{os.getpid()}"
    write_bytes(probe, b"x" * 4096)
    probe.unlink(missing_ok=True)


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Hold a Ctrl-C back until the block is done; does nothing outside the main thread."""
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


def _sync_folder(folder: Path) -> None:
    """A rename is on the disk when its folder is; not every system can do that."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sentence(error: OSError, path: Path) -> InputError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return InputError(
            f"{path} could not be written: the disk is full; nothing that was there is lost, so make room and run the "
            "same command again."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(f"{path} could not be written: the folder is read-only; choose another with --output.")
    return InputError(f"{path} could not be written ({error.strerror}); choose another folder with --output.")
