"""Download of published data sets with anomalib."""

import socket
import sys
from pathlib import Path

from anomalib.data import AnomalibDataModule

from anomalib_cops.errors import InputError
from anomalib_cops.files import sha256
from anomalib_cops.network import unreachable

SILENT_SECONDS = 60.0
"""Time after which a server that sends nothing is given up."""


def download(datamodule: type[AnomalibDataModule], folder: Path) -> None:
    """Let anomalib download a data set.

    Args:
        datamodule: anomalib's class for the data set.
        folder: Folder of the data set.

    Raises:
        InputError: The server cannot be reached, or the archive, now or from an earlier attempt, is not the published
            one.
    """
    info = sys.modules[datamodule.__module__].DOWNLOAD_INFO
    name = info.filename or info.url.split("/")[-1]
    archives = [parent / name for parent in (folder, folder.parent)]
    earlier = [archive for archive in archives if archive.is_file()]
    for archive in earlier:
        if sha256(archive) != info.hashsum:
            raise InputError(f"{archive} is not the archive that was published; delete it, and it is fetched again.")
    if not earlier and (problem := unreachable(info.url)):
        raise InputError(
            f"{folder} does not exist, and {info.url} {problem}; get the data set elsewhere, or set root to the folder "
            "of all data sets."
        )
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENT_SECONDS)
    try:
        datamodule(root=folder).prepare_data()  # type: ignore[call-arg]
    except BaseException as error:
        # The next attempt would take an incomplete archive for a whole one.
        for archive in set(archives) - set(earlier):
            archive.unlink(missing_ok=True)
        if not isinstance(error, Exception):
            raise
        raise InputError(f"the download of {info.url} to {folder} failed ({error}); try again.") from None
    finally:
        socket.setdefaulttimeout(timeout)
