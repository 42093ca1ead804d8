"""Unpacking of archives that may come from anywhere: as a whole, or not at all."""

import shutil
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

from anomalib_cops.errors import InputError

ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2")


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack an archive into a new folder, or not at all.

    Args:
        archive: A zip or tar file.
        folder: The new folder.

    Returns:
        The folder.

    Raises:
        InputError: The folder exists, or the archive is damaged, of another kind, or would write outside the folder.
    """
    if folder.exists():
        raise InputError(f"{folder} exists; name a new folder for the content of {archive}.")
    if not archive.name.lower().endswith(ARCHIVES):
        raise InputError(f"{archive} is not an archive of the kinds {', '.join(ARCHIVES)}; give one.")
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                _refuse_paths_outside(archive, opened.namelist())
                opened.extractall(unfinished)
        else:
            _unpack_tar(archive, unfinished)
        unfinished.rename(folder)
    except (OSError, tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{archive} cannot be unpacked ({error}); get it again.") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _unpack_tar(archive: Path, folder: Path) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise InputError(f"{archive} cannot be unpacked safely by this Python; use 3.11.4 or later.")
    with tarfile.open(archive) as opened:
        _refuse_paths_outside(archive, opened.getnames())
        try:
            opened.extractall(folder, filter="data")
        except tarfile.FilterError as error:
            raise InputError(_outside(archive, error.tarinfo.name)) from None


def _refuse_paths_outside(archive: Path, members: Iterable[str]) -> None:
    """Refuse names that lead out of the folder; the standard library would silently write them inside."""
    for member in members:
        for path in (PurePosixPath(member), PureWindowsPath(member)):
            if path.is_absolute() or ".." in path.parts:
                raise InputError(_outside(archive, member))


def _outside(archive: Path, member: str) -> str:
    return f"{archive} would write outside its folder with '{member}'; do not use this archive."
