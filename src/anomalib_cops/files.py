"""Write files atomically, and compute digests of files."""

import glob
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` to write to, and rename it to ``path`` when the block ends.

    If the block raises or writes nothing, ``path`` stays as it was and no temporary file is left. Each thread and
    process gets its own temporary path, so the last one to finish wins.

    Args:
        path: the file to write. Its folder is made if missing. The temporary name keeps the suffix, as image writers
            choose the format by it.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{os.getpid()}-{threading.get_ident()}.{path.name}")
    try:
        yield unfinished
        if unfinished.exists():
            os.replace(unfinished, path)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def remove_unfinished(path: Path) -> None:
    """Remove what processes left that were killed while :func:`replacing` a file.

    Call this only while no other process writes the file.
    """
    for unfinished in path.parent.glob(f".*-*.{glob.escape(path.name)}"):
        if re.fullmatch(r"\.\d+-\d+\." + re.escape(path.name), unfinished.name):
            with suppress(OSError):
                unfinished.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically; flush it to the disk before renaming it, so that it survives a power failure.

    Raises:
        OSError: the disk is full or the folder cannot be written to; the earlier file is still there.
    """
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(path.parent)


def write_text(path: Path, content: str) -> None:
    """Write text in UTF-8 as :func:`write_bytes` does."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Write plain data as readable JSON, as :func:`write_bytes` does."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_blob(path: Path) -> str:
    """Return the SHA-1 by which git identifies a file's content, in hexadecimal."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _sync_folder(folder: Path) -> None:
    """Flush a rename to the disk, where the system can flush folders."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
