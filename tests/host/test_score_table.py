"""The table of scores: complete or not there, in one process and in several."""

import csv
from pathlib import Path

import pytest
import torch
from anomalib.data import ImageBatch

from anomalib_cops.errors import InputError
from anomalib_cops.host.score_table import COLUMNS, ScoreTable
from anomalib_cops.thresholds import LabelThreshold

HALF = LabelThreshold(0.5, calibrated=True)


def batch(**scores: float) -> ImageBatch:
    values = torch.tensor(list(scores.values()))
    return ImageBatch(
        image=torch.zeros(len(scores), 3, 2, 2),
        image_path=list(scores),
        pred_score=values,
        pred_label=values > 0.5,
    )


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_rows_are_on_the_disk_after_every_batch_and_the_name_when_all_are(tmp_path: Path) -> None:
    table = ScoreTable(tmp_path)
    table.add(batch(a=0.25), HALF)
    assert rows(tmp_path / "scores.csv.part") == [list(COLUMNS), ["a", "0.25", "0", "0.5"]]
    table.add(batch(b=0.75, c=0.5), HALF)
    table.close()
    assert table.complete() == 3
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]
    assert rows(table.path)[2:] == [["b", "0.75", "1", "0.5"], ["c", "0.5", "0", "0.5"]]


def test_a_score_just_above_the_threshold_reads_back_as_that(tmp_path: Path) -> None:
    table = ScoreTable(tmp_path)
    table.add(batch(a=0.50000006), HALF)
    table.close()
    table.complete()
    _, (_, score, label, threshold) = rows(table.path)
    assert float(score) > float(threshold) and label == "1"


def test_labels_are_empty_without_a_threshold(tmp_path: Path) -> None:
    table = ScoreTable(tmp_path)
    table.add(batch(a=0.25), None)
    table.close()
    table.complete()
    assert rows(table.path)[1] == ["a", "0.25", "", ""]


def test_several_processes_make_one_table_with_every_image_once(tmp_path: Path) -> None:
    tables = [ScoreTable(tmp_path, rank) for rank in (0, 1)]
    tables[0].add(batch(a=0.1, c=0.3), HALF)
    tables[1].add(batch(b=0.2, a=0.1), HALF)
    for table in tables:
        table.close()
    assert tables[0].complete(2) == 3
    assert [row[0] for row in rows(tables[0].path)] == ["path", "a", "b", "c"]
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    (tmp_path / "scores.csv.part").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"scores.csv.part cannot be written \(No space left"):
        ScoreTable(tmp_path).add(batch(a=0.25), HALF)
