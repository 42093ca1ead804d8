"""List the images of a folder, a list of files, an archive or an address, one by one."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from anomalib_cops.errors import InputError
from anomalib_cops.images.reading import IMAGE_SUFFIXES
from anomalib_cops.scoring.file_systems import archive_address, describe, is_address, open_file_system


@dataclass(frozen=True)
class Found:
    """An image that a listing found, or a place where it could not look.

    Attributes:
        location: path of the file: on the local disk, or in the file system of ``address``.
        address: fsspec address of the file system; None for the local disk.
        error: why there is nothing to read; None for an image.
    """

    location: str
    address: str | None = None
    error: str | None = None

    @property
    def path(self) -> str:
        r"""What tables call the image: an absolute path, or an fsspec address.

        Bytes of a local name that are not UTF-8 are written as escapes such as ``\xff``.
        """
        if self.address is None:
            return os.fsencode(self.location).decode("utf-8", "backslashreplace")
        file_system, _ = open_file_system(self.address)
        _, chained, outer = self.address.partition("::")
        return f"{file_system.unstrip_protocol(self.location)}{chained}{outer}"


@dataclass
class Listing:
    """Images of a source, in the same order each time.

    A folder is listed with all its sub-folders, each sorted by name. Links are followed, but each folder is listed
    once, so that a link to a folder above does not lead round in a circle. Only the names in one folder are in memory.

    Args:
        source: a folder, an image, a text file (``.txt``) with one path per line, an archive, or an fsspec address.
        leave_out: folders that are not listed, such as that of the result pictures.

    Attributes:
        others: files of the last listing that are not images by their suffix.
        repeated: folders of the last listing that were left out because they had been listed under another path.

    Raises:
        InputError: there is no such source.
    """

    source: str
    leave_out: tuple[Path, ...] = ()
    others: int = field(default=0, init=False)
    repeated: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Find out what kind of source it is, and check that it is there."""
        if not self.source:
            raise InputError("The folder of images is an empty text; give a folder, or . for this one.")
        is_local = os.path.exists(self.source) or not is_address(self.source)
        self.address: str | None = None if is_local else self.source
        if self.address is None:
            path = str(Path(self.source).expanduser().resolve())
            if not os.path.exists(path):
                raise InputError(f"{self.source} does not exist; give a folder of images.")
            self.address = archive_address(path) if os.path.isfile(path) else None
            self.root = path
        if self.address is not None:
            file_system, self.root = open_file_system(self.address)
            try:
                is_there = file_system.exists(self.root)
            except Exception as error:  # each kind of file system raises errors of its own
                raise InputError(f"{self.source} cannot be listed ({describe(error)}); check the address.") from None
            if not is_there:
                raise InputError(f"{self.source} does not exist; check the address.")

    def __iter__(self) -> Iterator[Found]:
        """Yield the images, and an entry with an error for each folder that cannot be listed."""
        self.others = self.repeated = 0
        if self.address is not None:
            yield from self._walk_address(self.address)
        elif os.path.isdir(self.root):
            yield from self._walk_folder()
        elif self.root.lower().endswith(".txt"):
            yield from self._lines()
        else:
            yield Found(self.root)

    def _lines(self) -> Iterator[Found]:
        # Some editors begin a file with a mark of the byte order.
        with open(self.root, encoding="utf-8-sig", errors="surrogateescape") as file:
            for line in file:
                path = line.rstrip("\r\n")
                if path and is_address(path):
                    yield _found_at(path)
                elif path:
                    yield Found(os.path.abspath(os.path.expanduser(path)))

    def _walk_folder(self) -> Iterator[Found]:
        left_out = [_identity(str(folder)) for folder in self.leave_out]
        seen = set()
        waiting = [self.root]
        while waiting:
            folder = waiting.pop()
            identity = _identity(folder)
            if identity is not None and identity in left_out:
                continue
            if identity in seen:
                self.repeated += 1
                continue
            if identity is not None:
                seen.add(identity)
            try:
                names = sorted(os.listdir(folder))
            except OSError as error:
                yield Found(folder, error=f"the folder cannot be listed: {describe(error)}")
                continue
            inner = []
            for name in names:
                path = os.path.join(folder, name)
                try:
                    mode = os.stat(path).st_mode
                except FileNotFoundError:
                    mode = stat.S_IFREG  # a link that leads nowhere; reading it says so
                except OSError as error:
                    yield Found(path, error=f"it cannot be examined: {describe(error)}")
                    continue
                if stat.S_ISDIR(mode):
                    inner.append(path)
                elif not name.lower().endswith(IMAGE_SUFFIXES):
                    self.others += 1
                elif stat.S_ISREG(mode):
                    yield Found(path)
                else:
                    yield Found(path, error="it is not a file that can be read, but a device, pipe or socket")
            waiting += reversed(inner)

    def _walk_address(self, address: str) -> Iterator[Found]:
        file_system, root = open_file_system(address)
        if file_system.isfile(root):
            yield Found(root, address)
            return
        waiting, seen = [root], set()
        while waiting:
            folder = waiting.pop()
            seen.add(folder.rstrip("/"))
            try:
                entries = sorted(file_system.ls(folder, detail=True), key=lambda entry: entry["name"])
            except Exception as error:  # each kind of file system raises errors of its own
                yield Found(folder, address, f"the folder cannot be listed: {describe(error)}")
                continue
            # Forget the names, which some file systems would keep for ever.
            file_system.invalidate_cache(folder)
            inner = []
            for entry in entries:
                name = entry["name"]
                if name.rstrip("/") in seen:  # some object stores list a folder in itself
                    continue
                if entry["type"] == "directory":
                    inner.append(name)
                elif name.lower().endswith(IMAGE_SUFFIXES):
                    yield Found(name, address)
                else:
                    self.others += 1
            waiting += reversed(inner)


def _found_at(address: str) -> Found:
    """Return the image at an address."""
    try:
        return Found(open_file_system(address)[1], address)
    except InputError as error:
        return Found(address, error=str(error))


def _identity(folder: str) -> tuple[int, int] | None:
    """Return device and inode of a folder; None if it cannot be examined."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino
