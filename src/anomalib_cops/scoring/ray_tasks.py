"""What Ray's workers do: decode images, and score them with a model of their own."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from anomalib_cops.inference.pictures import Picture
from anomalib_cops.scoring.batches import PictureFolder, score_batch
from anomalib_cops.scoring.listing import Found
from anomalib_cops.scoring.parquet import to_arrow
from anomalib_cops.scoring.reading import Pool, Read, Wanted, read_with

_AHEAD = 4


def to_images(found: list[Found]) -> Any:
    """Return images to read as a pyarrow table; names of any bytes are binary."""
    import pyarrow as pa

    columns = {
        "location": pa.array([_encoded(each.location) for each in found], pa.binary()),
        "address": pa.array([each.address for each in found], pa.string()),
        "error": pa.array([each.error for each in found], pa.string()),
    }
    return pa.table(columns)


def decode(images: Any, max_pixels: int | None) -> Iterator[Any]:
    """Read the images of a table from :func:`to_images`; yield a table with levels for each.

    One table per image lets Ray end a block where it is large enough.
    """
    import pyarrow as pa

    found = (Found(_decoded(row["location"]), row["address"], row["error"]) for row in images.to_pylist())
    for result in read_with(_pool(max_pixels), found, _AHEAD):
        levels = None if result.picture is None else result.picture.levels
        yield pa.table(
            {
                "location": pa.array([_encoded(result.found.location)], pa.binary()),
                "address": pa.array([result.found.address], pa.string()),
                "error": pa.array([result.error], pa.string()),
                "levels": pa.array([None if levels is None else levels.tobytes()], pa.large_binary()),
                "type": pa.array([None if levels is None else levels.dtype.str], pa.string()),
                "height": pa.array([None if levels is None else levels.shape[0]], pa.int64()),
            }
        )


@lru_cache(maxsize=1)
def _pool(max_pixels: int | None) -> Pool:
    """Return the process that decodes for this worker, which goes on if a decoder crashes.

    Ray would repeat a task whose worker died again and again.
    """
    return Pool(1, Wanted(max_pixels))


def _encoded(location: str) -> bytes:
    return location.encode("utf-8", "surrogateescape")


def _decoded(location: bytes) -> str:
    return location.decode("utf-8", "surrogateescape")


class Scorer:
    """A model in a worker, which scores tables of decoded images.

    Args:
        make_predictor: makes the :class:`~anomalib_cops.inference.predictor.Predictor`.
        pictures: folder for result pictures; None writes none.
        source: folder of the images, whose path is left out of the names of the pictures.
    """

    def __init__(self, make_predictor: Callable[[], Any], pictures: Path | None, source: str | None) -> None:
        self._predictor = make_predictor()
        self._pictures = None if pictures is None else PictureFolder(pictures, source)

    def __call__(self, images: Any) -> Any:
        """Return the rows of the images as a pyarrow table."""
        return to_arrow(score_batch(self._predictor, [_to_read(row) for row in images.to_pylist()], self._pictures))


def _to_read(row: dict[str, Any]) -> Read:
    found = Found(_decoded(row["location"]), row["address"])
    if row["levels"] is None:
        return Read(found, error=row["error"])
    levels = np.frombuffer(row["levels"], np.dtype(row["type"])).reshape(row["height"], -1, 3)
    return Read(found, Picture(levels, found.path))
