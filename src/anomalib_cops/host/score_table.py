"""``scores.csv``: score and label of every predicted image, written batch by batch."""

import csv
import os
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from anomalib_cops.errors import InputError
from anomalib_cops.thresholds import LabelThreshold

COLUMNS = ("path", "score", "label", "threshold")


class ScoreTable:
    """Table with one row per image; its file name ends in ``.part`` until it is complete.

    Every process writes a part of its own, and the first process joins them.

    Args:
        folder: Folder of the table.
        rank: Number of this process.

    Attributes:
        path: File of the complete table.
    """

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self.path = folder / "scores.csv"
        self._file = _part(self.path, rank).open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(COLUMNS)
        self._count = 0

    def add(self, batch: Any, threshold: LabelThreshold | None) -> None:
        """Write one row per image of a batch, before the next batch begins.

        ``label`` is 1 for anomalous and 0 for normal; label and threshold are empty if the model gives no labels.

        Raises:
            InputError: The disk is full or not available any more.
        """
        scores = batch.pred_score.flatten().float().tolist()
        labels = [""] * len(scores)
        if threshold is not None and batch.pred_label is not None:
            labels = [str(int(label)) for label in batch.pred_label.flatten().tolist()]
        limit = "" if threshold is None else f"{threshold.value:.9g}"
        paths = batch.image_path or [""] * len(scores)
        try:
            # Nine digits tell any two float32 scores apart.
            self._writer.writerows(
                (path, f"{score:.9g}", label, limit) for path, score, label in zip(paths, scores, labels, strict=True)
            )
            self._file.flush()
            self._count += len(scores)
        except OSError as error:
            with suppress(OSError):  # close() writes what is left
                self._file.close()
            raise InputError(f"{self._file.name} cannot be written ({error.strerror}); make room there.") from None

    def close(self) -> Path:
        """Close the part of this process, and return its path."""
        self._file.close()
        return Path(self._file.name)

    def complete(self, processes: int = 1) -> int:
        """Join the parts of all processes, give the table its name, and return the number of images."""
        parts = [_part(self.path, rank) for rank in range(processes)]
        if processes > 1:
            # Images are distributed in turn, and some are predicted twice so that all processes have equally many.
            rows = [row for part in parts for row in _rows(part)]
            rows = sorted({(row[0] or number): row for number, row in enumerate(rows)}.values())
            self._count = len(rows)
            parts.insert(0, _part(self.path, processes))
            with parts[0].open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([COLUMNS, *rows])
        os.replace(parts[0], self.path)
        for part in parts[1:]:
            part.unlink()
        return self._count


def _part(path: Path, rank: int) -> Path:
    return path.with_name(f"{path.name}.part{rank or ''}")


def _rows(part: Path) -> Iterable[list[str]]:
    with part.open(encoding="utf-8", newline="") as file:
        yield from islice(csv.reader(file), 1, None)
