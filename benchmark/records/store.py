"""Read, write and lock the files in a folder of results.

Several processes may use the folder at once, and any of them may be killed.
"""

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock

from anomalib_cops.errors import InputError
from anomalib_cops.files import sha256

from ..files import check_writable, write_bytes, write_text
from ..plan.cells import Cell, Training
from .newest import FileAndResult, newest
from .reading import DamagedError, read_result
from .result import Result, TrainingRecord

_RECORD = "training.json"


class Store:
    """A folder of results.

    ``cells/`` holds a file per cell, ``trained/`` a folder per training, ``maps/`` and ``pictures/`` what is kept of
    single images. Locks are the operating system's, so those of a killed process are free at once.

    Args:
        folder: The folder; it is made when something is written.
        read_only: Leave damaged files where they are instead of moving them aside.

    Attributes:
        notices: Sentences about damaged files that were found.
    """

    def __init__(self, folder: Path, read_only: bool = False) -> None:
        self.folder = folder
        self.read_only = read_only
        self.notices: list[str] = []

    def check_writable(self) -> None:
        """Raise ``InputError`` if the folder cannot be written to."""
        check_writable(self.folder)

    def read(self, cell: Cell) -> Result:
        """Return the result of a cell, empty if there is none.

        A damaged file is moved aside and noted in ``notices``.

        Raises:
            InputError: The file is of another version of the format.
        """
        path = self.folder / cell.path
        if not path.is_file():
            return Result.empty(cell)
        try:
            return read_result(path)
        except DamagedError as error:
            subject = "It" if self.read_only else f"It was moved to {_move_aside(path).name}, and"
            self.notices.append(f"{error} {subject} is made again.")
            return Result.empty(cell)

    def write(self, cell: Cell, result: Result) -> None:
        """Write the result of a cell."""
        write_text(self.folder / cell.path, result.to_json())

    def trained_folder(self, training: Training) -> Path:
        """Return the folder of a training's weights and record, whether it is there or not."""
        return self.folder / "trained" / training.fingerprint

    def training(self, training: Training) -> TrainingRecord | None:
        """Return how a training went; None if it is missing or incomplete."""
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
        """Write what was trained, then its record, whose presence means that all is there."""
        folder = self.trained_folder(training)
        if record.weights:
            write_bytes(folder / record.weights, weights)
            record.digest = hashlib.sha256(weights).hexdigest()
        write_text(folder / _RECORD, json.dumps(asdict(record), indent=1) + "\n")

    def write_file(self, name: str, content: bytes) -> None:
        """Write a file of maps or pictures.

        Args:
            name: Path in the folder.
            content: Content of the file.
        """
        write_bytes(self.folder / name, content)

    def lock(self, key: str) -> FileLock:
        """Return a lock for all processes that use the folder, also from other machines.

        Args:
            key: Fingerprint of a cell or training.
        """
        folder = self.folder / ".locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} could not be made ({error.strerror}); choose another --output.") from None
        return FileLock(folder / f"{key}.lock", timeout=0)

    def results(self) -> list[FileAndResult]:
        """Read all result files, by path; damaged ones are noted in ``notices`` and left where they are.

        Raises:
            InputError: The folder is not there, or a file is of another version of the format.
        """
        if not self.folder.is_dir():
            raise InputError(f"there is no folder {self.folder}; run a benchmark first, or give --results.")
        results = []
        # A name with a leading dot is left by a run that was killed while it wrote.
        for path in sorted((self.folder / "cells").glob("*/*/[!.]*.json")):
            try:
                results.append((path, read_result(path)))
            except DamagedError as error:
                self.notices.append(f"{error} It is left out; run its benchmark again.")
        return results


def results_in(folder: Path) -> list[FileAndResult]:
    """Read the results of a folder that tables show, at least one; say on stderr what is damaged or not the newest.

    Raises:
        InputError: There are no results, or they are of another version.
    """
    store = Store(folder)
    results, superseded = newest(store.results())
    for notice in (*store.notices, *superseded):
        print(notice, file=sys.stderr)
    if not results:
        raise InputError(f"there are no results in {folder}; run a benchmark with --output {folder} first.")
    return results


def read_record(folder: Path) -> TrainingRecord:
    """Read the record of the training in a folder; raise what reading a file or JSON raises."""
    return TrainingRecord(**json.loads((folder / _RECORD).read_bytes()))


def _move_aside(path: Path) -> Path:
    for number in range(1, 1000):
        aside = path.with_name(f"{path.name}.damaged-{number}")
        if not aside.exists():
            path.rename(aside)
            return aside
    raise InputError(f"{path} is damaged, and so are a thousand copies beside it; remove them.")
