"""Download published checkpoints once, and verify them each time."""

from pathlib import Path

import torch
from huggingface_hub import constants as hub

from anomalib_cops.errors import InputError
from anomalib_cops.files import git_blob, replacing, sha256
from anomalib_cops.network import download as download_file
from anomalib_cops.weights.published import HUB, PUBLISHED, Published


def cached_path(method: str, name: str) -> Path:
    """Return the path that a published checkpoint is kept at, in the cache folder of torch.hub."""
    return Path(torch.hub.get_dir()) / "checkpoints" / "anomalib_cops" / f"{method}_{name}.pth"


def recognise(method: str, path: Path) -> Published | None:
    """Return the published checkpoint that has the content of a file, whatever its name; None if there is none.

    Args:
        method: name of the model class.
        path: an existing file.
    """
    known = PUBLISHED.get(method, {}).values()
    return next((each for each in known if each.digest and not _difference(path, each)), None)


def fetch(method: str, name: str) -> Path:
    """Return the path of a published checkpoint, verified; download it if it is not cached.

    Args:
        method: name of the model class.
        name: name of the checkpoint, which says what it was trained on.

    Raises:
        InputError: the file has to be downloaded by hand, the network or the server fails, or the content is not what
            was published.
    """
    published, path = PUBLISHED[method][name], cached_path(method, name)
    damaged = f"{path} {difference}; " if path.is_file() and (difference := _difference(path, published)) else ""
    if path.is_file() and not damaged:
        return path
    what = f"The weights '{name}' of {method}"
    by_hand = f"get the file {published.by_hand} and save it as {path}, or give its path as weights"
    if not published.fetchable:
        reason = f"are not there: {damaged}" if damaged else "cannot be downloaded by a program: "
        raise InputError(f"{what} {reason}{by_hand}.")
    try:
        with replacing(path) as unfinished:
            download_file(_configured(published.address), unfinished)
            if difference := _difference(unfinished, published):
                raise OSError(f"what {published.address} gives {difference}")
    except OSError as error:
        raise InputError(f"{what} are not there: {damaged}{error}; try again, or {by_hand}.") from None
    return path


def _configured(address: str) -> str:
    """Return the address at the hub that the environment configures, if it is one at the Hugging Face hub.

    Raises:
        OSError: HF_HUB_OFFLINE forbids downloads from the hub.
    """
    if not address.startswith(HUB):
        return address
    if hub.HF_HUB_OFFLINE:
        raise OSError(f"{address} is not asked, as HF_HUB_OFFLINE is set")
    return hub.ENDPOINT + address.removeprefix(HUB)


def _difference(path: Path, published: Published) -> str:
    """Return how a file differs from the published one, as the end of a sentence; empty if it does not."""
    size = path.stat().st_size
    if published.size and size != published.size:
        return f"holds {size} bytes instead of {published.size}"
    kind, _, expected = published.digest.partition(":")
    if not expected:
        return ""
    found = git_blob(path) if kind == "git" else sha256(path)
    return "" if found == expected else f"has the {kind} digest {found} instead of {expected}"
