"""The file beside a table that says which settings its scores were made with, and keeps two runs apart."""

import hashlib
import json
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from anomalib_cops.errors import InputError

# Windows keeps others from reading locked bytes, so lock one far behind the content.
_LOCKED_BYTE = 2**30


class SettingsFile:
    """``<table>.settings.json``: the settings and their SHA-256, locked while a run writes the table.

    The system releases the lock when the process ends in whatever way, so a run that was killed blocks no later one.

    Args:
        table: path of the table.
        settings: plain data that decides on scores.

    Raises:
        InputError: on entering: another run is writing the table, or the table was made with other settings.
    """

    def __init__(self, table: Path, settings: dict[str, Any]) -> None:
        self.table = table
        self.path = table.with_name(f"{table.name}.settings.json")
        # As they are read back: tuples become lists, and NaN, which JSON does not have, becomes null.
        self._settings: dict[str, Any] = json.loads(json.dumps(settings), parse_constant=lambda _: None)
        self._file: int | None = None

    def __enter__(self) -> "SettingsFile":
        """Lock the file, and compare the settings with those of the table if there is one."""
        begun = is_begun(self.table)
        if begun and not self.path.exists():
            raise InputError(
                f"{self.table} is there without {self.path}, so it is unknown how its scores were made; give another "
                "--output, or delete it."
            )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be written ({error.strerror}); give an --output in another folder."
            ) from None
        try:
            if not _lock(self._file):
                raise InputError(f"Another run is writing {self.table}; wait for it, or give another --output.")
            if begun:
                self._compare()
            else:
                self._write()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release the lock."""
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _compare(self) -> None:
        try:
            with self.path.open(encoding="utf-8") as file:
                stored = json.load(file)
            earlier, digest = stored["settings"], stored["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            earlier, digest = None, ""
        if earlier is None or digest != digest_of(earlier):
            raise InputError(
                f"{self.path} is damaged, so it is unknown how the scores of {self.table} were made; give another "
                "--output, or delete both."
            )
        if digest != digest_of(self._settings):
            raise InputError(
                f"{self.table} was made with other settings ({difference(earlier, self._settings)}); give another "
                f"--output, or delete it and {self.path}."
            )

    def _write(self) -> None:
        content = {"sha256": digest_of(self._settings), "settings": self._settings}
        assert self._file is not None
        try:
            os.ftruncate(self._file, 0)
            os.write(self._file, (json.dumps(content, indent=2) + "\n").encode())
            os.fsync(self._file)
        except OSError as error:
            raise InputError(f"{self.path} cannot be written ({error.strerror}); make room there.") from None


def is_begun(table: Path) -> bool:
    """Tell whether an earlier run has begun a table, or the journal of a Parquet file."""
    return table.exists() or table.with_name(f".{table.name}.rows.jsonl").exists()


def digest_of(settings: Any) -> str:
    """Return the SHA-256 of plain data in hexadecimal."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def difference(earlier: Any, now: Any, name: str = "") -> str:
    """Return the first setting that differs, in words: its name, the earlier value and the value now."""
    if isinstance(earlier, dict) and isinstance(now, dict):
        for key in sorted({*earlier, *now}):
            if earlier.get(key) != now.get(key):
                return difference(earlier.get(key), now.get(key), f"{name}.{key}" if name else key)
    return f"{name or 'settings'}: {_shown(earlier)} then, {_shown(now)} now"


def _shown(value: Any) -> str:
    return "none" if value in (None, "") else str(value)


def _lock(file: int) -> bool:
    """Lock an open file, and return whether no other process had locked it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            os.lseek(file, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except PermissionError:  # what Windows raises
        return False
    except OSError:  # some network file systems have no locks
        return True
    return True
