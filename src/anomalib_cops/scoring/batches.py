"""Score pictures in batches, so that each image becomes one row whatever happens to the others."""

import errno
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from anomalib_cops.errors import InputError
from anomalib_cops.files import replacing
from anomalib_cops.images.picture_names import picture_path
from anomalib_cops.scoring.file_systems import describe
from anomalib_cops.scoring.listing import Found
from anomalib_cops.scoring.reading import Read
from anomalib_cops.scoring.rows import Row, error_row, row_of

# Reasons that concern every further picture, not the name of one.
_NO_FURTHER_PICTURES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class PictureFolder:
    """Folder of the result pictures.

    Attributes:
        folder: where they are written.
        source: folder of the images, whose path is left out of the names of the pictures; None keeps the whole path.
    """

    folder: Path
    source: str | None

    def __post_init__(self) -> None:
        """Make the folder, and check that files can be written there.

        Raises:
            InputError: they cannot.
        """
        probe = self.folder / ".writable"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise InputError(
                f"--pictures {self.folder} cannot be written to ({describe(error)}); give another folder."
            ) from None

    def path_of(self, found: Found) -> Path:
        """Return the path of the picture of an image."""
        if found.address is None:
            return self.folder / picture_path(self.source, found.location)
        return self.folder / picture_path("/", f"/{found.location}")


def in_batches(images: Iterable[Read], size: int) -> Iterator[list[Read]]:
    """Yield lists of ``size`` images, the last one shorter."""
    waiting = iter(images)
    while batch := list(islice(waiting, size)):
        yield batch


def score_batch(predictor: Any, batch: Sequence[Read], pictures: PictureFolder | None = None) -> list[Row]:
    """Score a batch of images, and write their result pictures.

    If the model refuses the batch, its images are scored one by one, so that only the bad one has an error.

    Args:
        predictor: a :class:`~anomalib_cops.inference.predictor.Predictor`.
        batch: images that were read, or their errors.
        pictures: where to write result pictures; None writes none.

    Returns:
        One row per image, in their order.

    Raises:
        InputError: result pictures cannot be written any more.
    """
    readable = [each for each in batch if each.picture is not None]
    try:
        rows = _score(predictor, readable, pictures)
    except _NoPictures as error:
        raise InputError(str(error)) from None
    except Exception as error:  # whatever the model raises concerns its images, not the run
        if len(readable) == 1:
            rows = [error_row(readable[0].found.path, _reason(error))]
        else:
            rows = [row for each in readable for row in score_batch(predictor, [each], pictures)]
    scored = iter(rows)
    return [
        next(scored) if each.picture is not None else error_row(each.found.path, each.error or "") for each in batch
    ]


class _NoPictures(Exception):
    """Result pictures cannot be written any more."""


def _score(predictor: Any, batch: Sequence[Read], pictures: PictureFolder | None) -> list[Row]:
    if not batch:
        return []
    start = time.perf_counter()
    results = predictor([each.picture for each in batch])
    seconds = (time.perf_counter() - start) / len(batch)
    rows = [row_of(each.found.path, result, seconds) for each, result in zip(batch, results, strict=True)]
    if pictures is not None:
        rows = [
            row if row.error else _save(result, pictures, each.found, row)
            for each, result, row in zip(batch, results, rows, strict=True)
        ]
    return rows


def _save(result: Any, pictures: PictureFolder, found: Found, row: Row) -> Row:
    """Write a result picture; return the row, with an error if the name of the picture cannot be used."""
    path = pictures.path_of(found)
    try:
        with replacing(path) as unfinished:
            result.draw().save(unfinished)
    except OSError as error:
        if error.errno in _NO_FURTHER_PICTURES:
            raise _NoPictures(
                f"{path} cannot be written ({error.strerror}); make room there or give other --pictures, and run the "
                "command again: the rows so far are kept."
            ) from None
        return replace(row, error=error_row("", f"its picture cannot be written: {describe(error)}").error)
    return row


def _reason(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    return f"the model cannot score it: {type(error).__name__}: {describe(error)}"
