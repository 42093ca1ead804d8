"""What was found in large data sets is remembered: a folder that did not change is not listed again."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from pandas import DataFrame

from anomalib_cops import __version__
from anomalib_cops.data.sets.listing import Listing

# A folder may change twice within one tick of the disk's clock; what is older than this has come to rest.
_REST_NS = 2 * 10**9
# Another one where other files are found in the same folders than before.
_FORMAT = "2"


def load_or_list(folder: Path, name: str, category: str, build: Callable[[Listing], DataFrame]) -> DataFrame:
    """One category, from the index if its folders are as they were, else built and put there.

    Args:
        folder: Of the data set.
        name: Of the data set.
        category: Of the data set.
        build: Finds the images.
    """
    path = index_path(folder, name, category)
    known = _read(path)
    if known is not None:
        return known
    listing = Listing()
    samples = build(listing)
    if listing.seen and max(listing.seen.values()) < time.time_ns() - _REST_NS:
        _write(path, {"seen": listing.seen, "samples": samples.to_dict("list")})
    return samples


def index_path(folder: Path, name: str, category: str) -> Path:
    """Where the index of a category is kept: beside what torch.hub downloads."""
    key = "\n".join((__version__, _FORMAT, os.path.realpath(folder), str(folder), name, category))
    digest = hashlib.sha256(key.encode()).hexdigest()[:24]
    return Path(torch.hub.get_dir()) / "anomalib_cops" / "index" / f"{digest}.json"


def _read(path: Path) -> DataFrame | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        fresh = all(os.stat(place).st_mtime_ns == changed for place, changed in content["seen"].items())
        return DataFrame(content["samples"]) if fresh else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, content: dict[str, object]) -> None:
    """Keep an index; one that cannot be kept is only made again."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(content), encoding="utf-8")
        os.replace(unfinished, path)
    except OSError:
        with suppress(OSError):
            unfinished.unlink()
