"""Tables of scores that grow batch by batch and are valid at any moment: CSV and JSONL."""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from anomalib_cops.errors import InputError
from anomalib_cops.files import remove_unfinished, replacing
from anomalib_cops.scoring.rows import Row
from anomalib_cops.scoring.text_format import TextFormat

_SECONDS_BETWEEN_SYNCS = 1.0
_LONGEST_ROW = 2**26


class Table(ABC):
    """A table that an earlier run may have begun."""

    path: Path

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """Yield the rows that are there."""

    @abstractmethod
    def add(self, rows: Sequence[Row]) -> None:
        """Append rows; they survive the end of this process from now on.

        Raises:
            InputError: the disk is full or not available any more; the earlier rows are still there.
        """

    @abstractmethod
    def drop_errors(self) -> None:
        """Remove the rows with an error."""

    @abstractmethod
    def finish(self) -> None:
        """Write what is not yet in the table's file, and close it."""


class TextTable(Table):
    """A table in a text file, to which rows are appended.

    Args:
        path: the file. It is made with the first row.
        text_format: CSV or JSONL.

    Raises:
        InputError: the file is there but is not such a table. An incomplete row at its end is cut off, as a run that
            was killed may leave one.
    """

    def __init__(self, path: Path, text_format: TextFormat) -> None:
        self.path = path
        self._format = text_format
        self._file: int | None = None
        self._synced = 0.0
        remove_unfinished(path)
        try:
            self._end = self._repair()
        except OSError as error:
            raise unwritable(path, error) from None

    def rows(self) -> Iterator[Row]:
        """Yield the rows that are there."""
        if self._end:
            with self.path.open("rb") as file:
                for row, end in self._format.parse(file):
                    yield row
                    if end >= self._end:
                        return

    def add(self, rows: Sequence[Row]) -> None:
        """Append rows and flush them to the disk, at most once a second."""
        content = self._format.encode(rows)
        try:
            self._append(content if self._end else self._format.header + content)
        except OSError as error:
            raise unwritable(self.path, error) from None

    def drop_errors(self) -> None:
        """Write the file anew without the rows with an error."""
        self.finish()
        write_rows(self.path, self._format, (row for row in self.rows() if row.error is None))
        self._end = self.path.stat().st_size

    def finish(self) -> None:
        """Flush the rows to the disk and close the file."""
        if self._file is not None:
            try:
                os.fsync(self._file)
            except OSError as error:
                raise unwritable(self.path, error) from None
            finally:
                os.close(self._file)
                self._file = None

    def _append(self, content: bytes) -> None:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # O_BINARY, which only Windows has, keeps it from translating line ends.
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            os.lseek(self._file, self._end, os.SEEK_SET)
        try:
            written = 0
            while written < len(content):
                written += os.write(self._file, content[written:])
        except OSError:
            os.ftruncate(self._file, self._end)
            os.lseek(self._file, self._end, os.SEEK_SET)
            raise
        self._end += len(content)
        now = time.monotonic()
        if now - self._synced >= _SECONDS_BETWEEN_SYNCS:
            os.fsync(self._file)
            self._synced = now

    def _repair(self) -> int:
        """Cut off an incomplete row at the end of the file, and return the file's size."""
        if not self.path.exists():
            return 0
        size = self.path.stat().st_size
        header = self._format.header
        with self.path.open("r+b") as file:
            begun = file.read(len(header))
            if not header.startswith(begun):
                raise InputError(f"{self.path} is not a table of scores; give another --output.")
            end = len(header) if begun == header else 0
            if end == len(header):
                try:
                    for _, row_end in self._format.parse(file):
                        end = row_end
                except ValueError:
                    file.seek(end)
                    _check_that_nothing_follows(self.path, file.read(_LONGEST_ROW + 1), self._format)
            if end < size:
                file.truncate(end)
        return end


def _check_that_nothing_follows(path: Path, rest: bytes, text_format: TextFormat) -> None:
    """Refuse a file with a bad row before its end.

    An incomplete row has no line end, except in the name of a file. So it is damage if a good row follows a line end.
    """
    for number, line in enumerate(rest.splitlines(keepends=True)):
        if number and text_format.is_row(line):
            raise InputError(
                f"{path} is damaged: it holds something that is no row, with rows after it; restore the file, or "
                "delete it to score all images again."
            )


def write_rows(path: Path, text_format: TextFormat, rows: Iterable[Row]) -> None:
    """Write a table atomically, row by row.

    Raises:
        InputError: the disk is full or the folder cannot be written to; the earlier file is still there.
    """
    try:
        with replacing(path) as unfinished, unfinished.open("wb") as file:
            file.write(text_format.header)
            for row in rows:
                file.write(text_format.encode([row]))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> InputError:
    """Return the sentence about a table that cannot be written."""
    return InputError(
        f"{path} cannot be written ({error.strerror}); make room there or give another --output, and run the command "
        "again: the rows so far are kept."
    )
