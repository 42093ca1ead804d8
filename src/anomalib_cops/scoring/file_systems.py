"""Access to images in archives and behind addresses such as ``s3://``, through fsspec."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from anomalib_cops.errors import InputError

ARCHIVES = {".zip": "zip", ".tar": "tar", ".tgz": "tar", ".tar.gz": "tar", ".tar.bz2": "tar", ".tar.xz": "tar"}
"""Suffixes of local archives, and the protocol by which fsspec opens them."""

LARGEST_FILE = 2**31
"""Bytes that are read of one file at most. An archive of a few kilobytes may unpack to more than the memory holds."""


def is_address(source: str) -> bool:
    """Tell whether a source is an fsspec address rather than a local path."""
    return "://" in source or "::" in source


def archive_address(path: str) -> str | None:
    """Return the fsspec address of a local archive; None if the suffix is not that of an archive."""
    name = Path(path).name.lower()
    protocol = next((protocol for suffix, protocol in ARCHIVES.items() if name.endswith(suffix)), None)
    return protocol and f"{protocol}://::{path}"


@lru_cache(maxsize=4)
def open_file_system(address: str) -> tuple[Any, str]:
    """Open the file system of an address, once in each process.

    Returns:
        fsspec's file system, and the path of the address in it.

    Raises:
        InputError: fsspec or the package for this kind of address is not installed, or the address cannot be opened.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise InputError(f"{address} needs fsspec; install it: pip install 'anomalib-cops[score]'.") from None
    try:
        file_system, path = url_to_fs(address)
    except ImportError as error:
        raise InputError(f"{address} needs another package: {error}.") from None
    except Exception as error:  # each kind of file system raises errors of its own
        raise InputError(f"{address} cannot be opened ({describe(error)}); check the address.") from None
    return file_system, path


def read_bytes(address: str, path: str) -> bytes:
    """Read a file of the file system that an address names.

    Raises:
        InputError: the file cannot be read or is larger than 2 GiB.
    """
    file_system, _ = open_file_system(address)
    try:
        with file_system.open(path, "rb") as file:
            content: bytes = file.read(LARGEST_FILE + 1)
    except Exception as error:  # each kind of file system raises errors of its own
        raise InputError(f"{path} in {address} cannot be read ({describe(error)}); check it.") from None
    if len(content) > LARGEST_FILE:
        raise InputError(f"{path} in {address} is larger than 2 GiB; unpack it and give it as a local file.")
    return content


def describe(error: BaseException) -> str:
    """Return what an error says in one line, or its kind if it says nothing."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
