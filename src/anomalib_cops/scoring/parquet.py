"""Tables of scores as Parquet, which pyarrow writes; importing this module does not import pyarrow."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from anomalib_cops.errors import InputError
from anomalib_cops.files import remove_unfinished, replacing
from anomalib_cops.scoring.rows import COLUMNS, INTEGERS, NUMBERS, Row
from anomalib_cops.scoring.table import Table, TextTable, unwritable, write_rows
from anomalib_cops.scoring.text_format import JsonLines

_ROWS_AT_ONCE = 1024


class ParquetTable(Table):
    """A table in one Parquet file, which is written anew whenever it has twice as many rows, and at the end.

    A Parquet file cannot be appended to. So rows go to a journal beside it, ``.NAME.rows.jsonl``. While there is a
    journal, it holds every row; without one, the Parquet file does.

    Args:
        path: the file. It is made with the first row.

    Raises:
        InputError: pyarrow is missing, or the file is there but is not such a table.
    """

    def __init__(self, path: Path) -> None:
        require_pyarrow()
        self.path = path
        remove_unfinished(path)
        self._journal_path = path.with_name(f".{path.name}.rows.jsonl")
        remove_unfinished(self._journal_path)
        if path.exists() and not self._journal_path.exists():
            check_parquet(path)
        self._journal: TextTable | None = None
        self._count = 0
        self._written = 0
        if self._journal_path.exists():
            self._open_journal()

    def rows(self) -> Iterator[Row]:
        """Yield the rows that are there."""
        if self._journal is not None:
            yield from self._journal.rows()
        elif self.path.exists():
            yield from read_parquet(self.path)

    def add(self, rows: Sequence[Row]) -> None:
        """Append rows to the journal, and write the file anew if it has half of the rows or fewer."""
        if self._journal is None:
            if self.path.exists():
                write_rows(self._journal_path, JsonLines(), read_parquet(self.path))
            self._open_journal()
        assert self._journal is not None
        self._journal.add(rows)
        self._count += len(rows)
        if self._count >= 2 * self._written:
            self._write()

    def drop_errors(self) -> None:
        """Write the file and the journal anew without the rows with an error."""
        if self._journal is not None:
            self._journal.drop_errors()
            self._count = sum(1 for _ in self._journal.rows())
            self._write()
        elif self.path.exists():
            write_parquet(self.path, (row for row in read_parquet(self.path) if row.error is None))

    def finish(self) -> None:
        """Write the file with all rows, and remove the journal."""
        if self._journal is not None:
            self._journal.finish()
            if self._written != self._count or not self.path.exists():
                self._write()
            self._journal = None
            self._journal_path.unlink()

    def _open_journal(self) -> None:
        self._journal = TextTable(self._journal_path, JsonLines())
        self._count = sum(1 for _ in self._journal.rows())

    def _write(self) -> None:
        assert self._journal is not None
        write_parquet(self.path, self._journal.rows())
        self._written = self._count


def require_pyarrow() -> None:
    """Check that pyarrow is installed.

    Raises:
        InputError: it is not.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise InputError(
            "Parquet needs pyarrow; install it: pip install 'anomalib-cops[score]', or give an --output that ends in "
            ".csv or .jsonl."
        ) from None


def schema() -> Any:
    """Return the names and types of the columns as pyarrow's schema."""
    import pyarrow as pa

    types = dict.fromkeys(COLUMNS, pa.string()) | dict.fromkeys(INTEGERS, pa.int64())
    return pa.schema(list((types | dict.fromkeys(NUMBERS, pa.float64())).items()))


def to_arrow(rows: Sequence[Row]) -> Any:
    """Return rows as a pyarrow table."""
    import pyarrow as pa

    return pa.table({name: [getattr(row, name) for row in rows] for name in COLUMNS}, schema())


def write_parquet(path: Path, rows: Iterable[Row]) -> None:
    """Write a Parquet file atomically, some rows at a time.

    Raises:
        InputError: the disk is full or the folder cannot be written to; the earlier file is still there.
    """
    from pyarrow.parquet import ParquetWriter

    waiting = iter(rows)
    try:
        with replacing(path) as unfinished:
            with ParquetWriter(unfinished, schema()) as writer:
                while some := list(islice(waiting, _ROWS_AT_ONCE)):
                    writer.write_table(to_arrow(some))
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())
    except OSError as error:
        raise unwritable(path, error) from None


def check_parquet(path: Path) -> None:
    """Check that a file is a Parquet file with the columns of a table of scores.

    Raises:
        InputError: it is not, or it is damaged.
    """
    columns = columns_of(path)
    if columns is None:
        raise InputError(f"{path} is damaged or not a Parquet file; delete it or give another --output.")
    if columns != COLUMNS:
        raise InputError(f"{path} is not a table of scores; give another --output.")


def columns_of(path: Path) -> tuple[str, ...] | None:
    """Return the names of the columns of a Parquet file; None if it is damaged, half-written or another file."""
    import pyarrow as pa
    from pyarrow.parquet import read_schema

    try:
        return tuple(read_schema(path).names)
    except (pa.ArrowException, OSError):
        return None


def read_parquet(path: Path) -> Iterator[Row]:
    """Yield the rows of a Parquet file."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
            yield from (Row(**values) for values in batch.to_pylist())
