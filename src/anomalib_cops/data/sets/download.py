"""Download by anomalib, and archives that are looked into before anything of them is unpacked."""

import hashlib
import shutil
import socket
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

from anomalib.data import AnomalibDataModule

from anomalib_cops.errors import InputError
from anomalib_cops.network import unreachable

SILENT_SECONDS = 60.0
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2")


def download(datamodule: type[AnomalibDataModule], folder: Path) -> None:
    """Has anomalib download a data set.

    Args:
        datamodule: anomalib's class for it.
        folder: Where it shall be.

    Raises:
        InputError: It cannot be reached, or what came, or lies there since an earlier attempt, is not what was
            published.
    """
    info = sys.modules[datamodule.__module__].DOWNLOAD_INFO
    name = info.filename or info.url.split("/")[-1]
    archives = [place / name for place in (folder, folder.parent)]
    earlier = [archive for archive in archives if archive.is_file()]
    for archive in earlier:
        if _digest(archive) != info.hashsum:
            raise InputError(f"{archive} is not the archive that was published; delete it, and it is fetched again.")
    if not earlier and (problem := unreachable(info.url)):
        raise InputError(
            f"{folder} does not exist, and {info.url} {problem}; get the data set elsewhere, or set root to the folder "
            "of all data sets."
        )
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENT_SECONDS)
    try:
        datamodule(root=folder).prepare_data()  # type: ignore[call-arg]
    except BaseException as error:
        # Half a download would pass for a whole one next time.
        for archive in set(archives) - set(earlier):
            archive.unlink(missing_ok=True)
        if not isinstance(error, Exception):
            raise
        raise InputError(f"the download of {info.url} to {folder} failed ({error}); try again.") from None
    finally:
        socket.setdefaulttimeout(patience)


def unpack(archive: Path, folder: Path) -> Path:
    """Unpacks an archive into a new folder, or not at all.

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
    try:
        for member in _members(archive):
            if _leads_out(member):
                raise InputError(f"{archive} would write outside its folder with '{member}'; do not use this archive.")
        shutil.rmtree(unfinished, ignore_errors=True)
        if zipfile.is_zipfile(archive):
            shutil.unpack_archive(archive, unfinished, "zip")
        else:
            # Python before 3.11.4 has no filters; names and links have been looked at above.
            safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            shutil.unpack_archive(archive, unfinished, **safely)  # type: ignore[arg-type]
        unfinished.rename(folder)
    except (OSError, tarfile.TarError, zipfile.BadZipFile, shutil.ReadError, EOFError) as error:
        raise InputError(f"{archive} cannot be unpacked ({error}); get it again.") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _members(archive: Path) -> list[str]:
    """Names of all members; a link counts by where it leads."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            return opened.namelist()
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        return [name for member in members for name in (member.name, member.linkname) if name]


def _leads_out(member: str) -> bool:
    return any(path.is_absolute() or ".." in path.parts for path in (PurePosixPath(member), PureWindowsPath(member)))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
