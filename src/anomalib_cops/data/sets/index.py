"""Index of large data sets on disk: as long as its folders do not change, a category is not listed again."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from pandas import DataFrame

from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.files import replacing
from anomalib_cops.version import __version__

# A folder may change twice within one tick of the disk's clock, so an index is kept only of folders that are older.
_REST_NS = 2 * 10**9
# Increase this when other files are found in unchanged folders than before.
_FORMAT = "2"


def load_or_list(folder: Path, name: str, category: str, build: Callable[[Listing], DataFrame]) -> DataFrame:
    """Load the samples of a category from the index; if it is missing or outdated, list them and write the index.

    Args:
        folder: Folder of the data set.
        name: Name of the data set.
        category: Name of the category.
        build: Lists the samples.
    """
    path = index_path(folder, name, category)
    samples = _read(path)
    if samples is not None:
        return samples
    listing = Listing()
    samples = build(listing)
    if listing.modified and max(listing.modified.values()) < time.time_ns() - _REST_NS:
        _write(path, {"seen": listing.modified, "samples": samples.to_dict("list")})
    return samples


def index_path(folder: Path, name: str, category: str) -> Path:
    """Return the file that holds the index of a category, in torch.hub's cache folder."""
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
    """Write an index; if that fails, the category is listed again next time."""
    with suppress(OSError), replacing(path) as unfinished:
        unfinished.write_text(json.dumps(content), encoding="utf-8")
