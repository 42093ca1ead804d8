"""Rows as lines of CSV or JSON, and back."""

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from anomalib_cops.scoring.rows import COLUMNS, INTEGERS, NUMBERS, Row

# A list of regions is longer than what the csv module takes by default.
_LONGEST_CELL = 2**31 - 1


class TextFormat(ABC):
    """A format of which rows can be appended."""

    header: bytes = b""

    @abstractmethod
    def encode(self, rows: Sequence[Row]) -> bytes:
        """Return rows as they are written."""

    @abstractmethod
    def parse(self, file: io.BufferedIOBase) -> Iterator[tuple[Row, int]]:
        """Yield the rows of a file after the header, each with the offset in bytes at which it ends.

        Raises:
            ValueError: a row is incomplete or not a row of a table of scores.
        """

    def is_row(self, line: bytes) -> bool:
        """Tell whether one line is a complete row."""
        try:
            return len(list(self.parse(io.BytesIO(self.header + line)))) == 1
        except ValueError:
            return False


class Csv(TextFormat):
    """One line per row, with a header; a quoted cell may contain line breaks."""

    def __init__(self) -> None:
        self.header = self._lines([COLUMNS])

    def encode(self, rows: Sequence[Row]) -> bytes:
        """Return rows as they are written."""
        return self._lines([_cell(value) for value in vars(row).values()] for row in rows)

    def parse(self, file: io.BufferedIOBase) -> Iterator[tuple[Row, int]]:
        """Yield the rows of a file after the header, each with the offset in bytes at which it ends."""
        csv.field_size_limit(_LONGEST_CELL)
        lines = _CountedLines(file, len(self.header))
        reader = csv.reader(lines, strict=True)
        try:
            for cells in reader:
                if len(cells) != len(COLUMNS) or not lines.last.endswith("\n"):
                    raise ValueError("the row is incomplete")
                yield _row(dict(zip(COLUMNS, cells, strict=True))), lines.offset
        except csv.Error as error:
            raise ValueError(str(error)) from None

    @staticmethod
    def _lines(rows: Iterable[Iterable[str]]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        return text.getvalue().encode()


class JsonLines(TextFormat):
    """One JSON object per line."""

    def encode(self, rows: Sequence[Row]) -> bytes:
        """Return rows as they are written."""
        return b"".join(json.dumps(_object(row), ensure_ascii=False).encode() + b"\n" for row in rows)

    def parse(self, file: io.BufferedIOBase) -> Iterator[tuple[Row, int]]:
        """Yield the rows of a file, each with the offset in bytes at which it ends."""
        offset = 0
        for line in file:
            offset += len(line)
            values = json.loads(line)
            if not line.endswith(b"\n") or not isinstance(values, dict) or set(values) != set(COLUMNS):
                raise ValueError("the row is incomplete")
            regions = values["region_list"]
            yield Row(**values | {"region_list": None if regions is None else _compact(regions)}), offset


class _CountedLines:
    """Lines of a file as text; counts the bytes that have been read."""

    def __init__(self, file: io.BufferedIOBase, offset: int) -> None:
        file.seek(offset)
        self._file = file
        self.offset = offset
        self.last = ""

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self.offset += len(line)
            # A character may be cut off at the end of the file, in a row that is incomplete in any case.
            self.last = line.decode("utf-8", "replace")
            yield self.last


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _row(cells: dict[str, str]) -> Row:
    values: dict[str, Any] = {name: cell or None for name, cell in cells.items()}
    values |= {name: int(cells[name]) for name in INTEGERS if cells[name]}
    values |= {name: float(cells[name]) for name in NUMBERS if cells[name]}
    return Row(**values | {"path": cells["path"]})


def _object(row: Row) -> dict[str, Any]:
    """Return a row as an object in which the regions are a list, not text."""
    return vars(row) | {"region_list": None if row.region_list is None else json.loads(row.region_list)}


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
