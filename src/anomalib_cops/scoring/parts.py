"""A table of scores as a folder of Parquet files, as Ray's workers write it."""

import sys
from collections.abc import Iterator
from pathlib import Path

from anomalib_cops.scoring.parquet import check_parquet, columns_of, read_parquet, write_parquet
from anomalib_cops.scoring.rows import Row


def parts_of(folder: Path) -> list[Path]:
    """Return the Parquet files of a folder, sorted by name."""
    return sorted(folder.glob("*.parquet")) if folder.is_dir() else []


def read_parts(folder: Path) -> Iterator[Row]:
    """Yield the rows of all parts."""
    for part in parts_of(folder):
        yield from read_parquet(part)


def remove_unreadable(folder: Path) -> None:
    """Remove parts that a run left half-written when it was killed; their images are scored again.

    Raises:
        InputError: a part is readable but not of a table of scores.
    """
    for part in parts_of(folder):
        if columns_of(part) is None:
            print(f"{part} was left half-written and is removed; its images are scored again.", file=sys.stderr)
            part.unlink()
        else:
            check_parquet(part)


def drop_errors(folder: Path) -> None:
    """Write the parts anew without the rows with an error."""
    for part in parts_of(folder):
        if any(row.error is not None for row in read_parquet(part)):
            write_parquet(part, (row for row in read_parquet(part) if row.error is None))
