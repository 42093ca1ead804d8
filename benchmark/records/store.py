"""The folder of results: reads, writes, locks. Many processes may work on it at once, and any may be killed."""

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock, Timeout

from anomalib_cops.errors import InputError
from anomalib_cops.files import sha256

from ..files import check_writable, write_bytes, write_text
from ..plan.cells import Cell, Training
from .newest import newest
from .result import DamagedError, Result, TrainingRecord, read_result

_RECORD = "training.json"


class Store:
    """A folder of results.

    ``cells/`` holds a file per cell, ``trained/`` a folder per training, ``maps/`` and ``pictures/`` what is kept of
    single images. Locks are the operating system's, so those of a killed process are free at once.

    Args:
        folder: Made when something is written.
        untouched: Leaves damaged files where they are.
    """

    def __init__(self, folder: Path, untouched: bool = False) -> None:
        self.folder = folder
        self.untouched = untouched
        self.notices: list[str] = []

    def check_writable(self) -> None:
        """Raises ``InputError`` if nothing can be written."""
        check_writable(self.folder)

    def read(self, cell: Cell) -> Result:
        """What is known of a cell, or its empty result; a damaged file is moved aside and noted in ``notices``.

        Raises:
            InputError: The file is of another version of the format.
        """
        path = self.folder / cell.path
        if not path.is_file():
            return Result.of(cell)
        try:
            return read_result(path)
        except DamagedError as error:
            place = "It" if self.untouched else f"It was moved to {_move_aside(path).name}, and"
            self.notices.append(f"{error} {place} is made again.")
            return Result.of(cell)

    def write(self, cell: Cell, result: Result) -> None:
        """Write a cell's file, completely or not at all."""
        write_text(self.folder / cell.path, result.to_json())

    def trained_folder(self, training: Training) -> Path:
        """Where the weights of a training are."""
        return self.folder / "trained" / training.fingerprint

    def training(self, training: Training) -> TrainingRecord | None:
        """How a training went; None if it is not there or not complete."""
        folder = self.trained_folder(training)
        try:
            record = read_record(folder)
        except (OSError, ValueError, TypeError):
            return None
        weights = folder / record.weights if record.weights else None
        if weights is not None and (not weights.is_file() or sha256(weights) != record.digest):
            self.notices.append(f"{weights} is damaged or missing; the training is done again.")
            return None
        return record

    def write_training(self, training: Training, record: TrainingRecord, weights: bytes) -> None:
        """Keep what was trained; the record comes last, and says that all is there."""
        folder = self.trained_folder(training)
        if record.weights:
            write_bytes(folder / record.weights, weights)
            record.digest = hashlib.sha256(weights).hexdigest()
        write_text(folder / _RECORD, json.dumps(asdict(record), indent=1) + "\n")

    def write_file(self, name: str, content: bytes) -> None:
        """Keep a map or a picture.

        Args:
            name: Path inside the folder.
            content: Of the file.
        """
        write_bytes(self.folder / name, content)

    def lock(self, key: str) -> FileLock:
        """A lock that processes and machines that share the folder respect."""
        folder = self.folder / ".locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} could not be made ({error.strerror}); choose another --output.") from None
        return FileLock(folder / f"{key}.lock", timeout=0)

    def results(self) -> list[tuple[Path, Result]]:
        """All result files by path; damaged ones are noted in ``notices`` and left where they are.

        Raises:
            InputError: The folder is not there, or a file is of another version of the format.
        """
        if not self.folder.is_dir():
            raise InputError(f"there is no folder {self.folder}; run a benchmark first, or give --results.")
        found = []
        # A leading dot: left by a run that was killed while it wrote.
        for path in sorted((self.folder / "cells").glob("*/*/[!.]*.json")):
            try:
                found.append((path, read_result(path)))
            except DamagedError as error:
                self.notices.append(f"{error} It is left out; run its benchmark again.")
        return found


def results_in(folder: Path) -> list[tuple[Path, Result]]:
    """Result files of a folder by path, at least one; what is wrong with others or is not the newest is told on stderr.

    Raises:
        InputError: There are no results, or they are of another version.
    """
    store = Store(folder)
    found = store.results()
    found, superseded = newest(found)
    for notice in (*store.notices, *superseded):
        print(notice, file=sys.stderr)
    if not found:
        raise InputError(f"there are no results in {folder}; run a benchmark with --output {folder} first.")
    return found


def read_record(folder: Path) -> TrainingRecord:
    """How the training in a folder went; raises what reading a file or JSON raises."""
    return TrainingRecord(**json.loads((folder / _RECORD).read_bytes()))


@contextmanager
def held(lock: FileLock) -> Iterator[bool]:
    """Take a lock if it is free, and let go of it afterwards; gives whether it was."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _move_aside(path: Path) -> Path:
    for number in range(1, 1000):
        aside = path.with_name(f"{path.name}.damaged-{number}")
        if not aside.exists():
            path.rename(aside)
            return aside
    raise InputError(f"{path} is damaged, and so are a thousand copies beside it; remove them.")
