"""Test that a folder becomes a table with one row per image, whatever its files hold."""

import csv
import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from anomalib_cops.errors import InputError
from anomalib_cops.scoring.rows import COLUMNS
from anomalib_cops.scoring.run import Job, Summary, score
from tests.scoring.fake import REFUSED, FakePredictor, save_image

KINDS = ("csv", "jsonl", "parquet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(5):
        save_image(tmp_path / f"images/{'ab'[number % 2]}/{number}.png", 40 * number)
    return tmp_path / "images"


def run(folder: Path, output: Path, predictor: Callable[[], Any] = FakePredictor, **arguments: Any) -> Summary:
    return score(Job(str(folder), output, **{"workers": 0, **arguments}), predictor)


def read(output: Path) -> list[dict[str, Any]]:
    if output.suffix == ".parquet":
        frame = pd.read_parquet(output)
    elif output.suffix == ".csv":
        frame = pd.read_csv(output)
    else:
        frame = pd.read_json(output, lines=True, precise_float=True)
    assert tuple(frame.columns) == COLUMNS
    return frame.to_dict("records")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("workers", [0, 1])
def test_every_image_has_a_row(folder: Path, tmp_path: Path, kind: str, workers: int) -> None:
    output = tmp_path / f"scores.{kind}"
    summary = run(folder, output, workers=workers)
    rows = read(output)
    assert (summary.scored, summary.failed, summary.rows) == (5, 0, 5)
    assert [Path(row["path"]).name for row in rows] == ["0.png", "2.png", "4.png", "1.png", "3.png"]
    assert {(row["width"], row["height"]) for row in rows} == {(3, 2)}
    assert [row["label"] for row in rows] == [0, 0, 1, 0, 0]
    for row in rows:
        assert row["score"] == float(f"{np.float32(int(Path(row['path']).stem) * 40 / 255):.9g}")
        assert row["threshold"] == 0.5
        assert row["seconds"] >= 0
    regions = rows[2]["region_list"]
    regions = json.loads(regions) if isinstance(regions, str) else regions
    assert regions[0]["contour"] == [[0, 0], [1, 0], [1, 1], [0, 1]]
    assert rows[2]["regions"] == 1 and rows[0]["regions"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_run_scores_what_is_new(folder: Path, tmp_path: Path, kind: str) -> None:
    output = tmp_path / f"scores.{kind}"
    run(folder, output)
    before = output.read_bytes()
    assert run(folder, output, lambda: FakePredictor(pause=99)).earlier == 5
    assert output.read_bytes() == before
    save_image(folder / "c/new.png", 10)
    summary = run(folder, output)
    assert (summary.scored, summary.earlier) == (1, 5)
    assert len(read(output)) == 6
    assert not [*tmp_path.glob(".scores*")]


@pytest.mark.parametrize("kind", KINDS)
def test_bad_images_are_rows_and_are_tried_again_on_request(folder: Path, tmp_path: Path, kind: str) -> None:
    output = tmp_path / f"scores.{kind}"
    (folder / "empty.png").write_bytes(b"")
    whole = save_image(folder / "cut.png", 9, (400, 300)).read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "nowhere.png").symlink_to(folder / "gone.png")
    os.mkfifo(folder / "pipe.png")
    summary = run(folder, output)
    assert (summary.scored, summary.failed, summary.errors) == (5, 4, 4)
    errors = {Path(row["path"]).name: row["error"] for row in read(output) if isinstance(row["error"], str)}
    assert set(errors) == {"empty.png", "cut.png", "nowhere.png", "pipe.png"}
    save_image(folder / "cut.png", 9)
    again = run(folder, output)
    assert (again.scored, again.failed, again.errors) == (0, 0, 4)
    retried = run(folder, output, retry_errors=True)
    assert (retried.scored, retried.failed, retried.errors, retried.rows) == (1, 3, 3, 9)
    assert len({row["path"] for row in read(output)}) == 9


def test_only_the_image_that_the_model_refuses_fails(folder: Path, tmp_path: Path) -> None:
    save_image(folder / "a/bad.png", REFUSED)
    summary = run(folder, tmp_path / "scores.csv", partial(FakePredictor, batch_size=4))
    assert (summary.scored, summary.failed) == (5, 1)
    (row,) = [row for row in read(tmp_path / "scores.csv") if isinstance(row["error"], str)]
    assert row["error"].endswith("bad.png is refused.")


@pytest.mark.parametrize("kind", KINDS)
def test_names_with_line_breaks_and_other_bytes_are_told_apart_and_resumed(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "images"
    for name in (b'a\r\nb,"c".png', b"caf\xe9.png", "café.png".encode(), b"\xff\xfe.png", b"a\n.png"):
        save_image(folder / "x.png", 5).rename(os.fsdecode(os.fsencode(folder) + b"/" + name))
    output = tmp_path / f"scores.{kind}"
    assert run(folder, output).scored == 5
    names = {Path(row["path"]).name for row in read(output)}
    assert names == {'a\r\nb,"c".png', "caf\\xe9.png", "café.png", "\\xff\\xfe.png", "a\n.png"}
    assert run(folder, output).earlier == 5


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_an_incomplete_last_row_is_cut_off(tmp_path: Path, kind: str) -> None:
    folder, output = tmp_path / "images", tmp_path / f"scores.{kind}"
    for name in ("a.png", "b\n,c.png", "d\r\né.png"):
        save_image(folder / name, 200)
    run(folder, output, FakePredictor)
    whole = output.read_bytes()
    expected = [{**row, "seconds": 0, "error": None} for row in read(output)]
    for size in range(0, len(whole), 5):
        output.write_bytes(whole[:size])
        run(folder, output)
        assert [{**row, "seconds": 0, "error": None} for row in read(output)] == expected, size


def test_a_damaged_table_is_refused(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.csv"
    run(folder, output)
    lines = output.read_bytes().splitlines(keepends=True)
    output.write_bytes(b"".join([*lines[:2], b'"half,', *lines[3:]]))
    with pytest.raises(InputError, match="scores.csv is damaged"):
        run(folder, output)
    output.write_text("name,value\n")
    with pytest.raises(InputError, match="is not a table of scores"):
        run(folder, output)


def test_result_pictures_have_names_of_their_own_and_are_not_scored(folder: Path, tmp_path: Path) -> None:
    save_image(folder / "a/0.jpg", 3)
    for _ in range(2):
        summary = run(folder, tmp_path / "scores.csv", pictures=folder / "results")
    assert (summary.rows, summary.repeated) == (6, 0)
    names = {path.relative_to(folder / "results").as_posix() for path in (folder / "results").rglob("*.png")}
    assert names == {"a/0.png", "a/0.jpg.png", "a/2.png", "a/4.png", "b/1.png", "b/3.png"}


def test_result_pictures_do_not_replace_images(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(InputError, match="is the folder of the images, which result pictures would replace"):
        run(folder, tmp_path / "scores.csv", pictures=tmp_path / "link")
    with pytest.raises(InputError, match="a is a folder of .* that holds images already"):
        run(folder, tmp_path / "scores.csv", pictures=folder / "a")


def test_a_result_picture_whose_name_is_too_long_is_an_error_of_its_row(tmp_path: Path) -> None:
    save_image(tmp_path / f"images/{'x' * 251}.jpg", 3)
    assert run(tmp_path / "images", tmp_path / "scores.csv", pictures=tmp_path / "results").failed == 1
    with (tmp_path / "scores.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert "picture cannot be written" in row["error"] and row["score"]


def test_images_of_one_pixel_too_many_pixels_and_nan_end_in_rows(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    save_image(folder / "one.png", 7, (1, 1))
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(folder / "nan.tiff")
    assert run(folder, tmp_path / "scores.csv").failed == 2
    errors = {Path(row["path"]).stem: row["error"] for row in read(tmp_path / "scores.csv")}
    assert "raise it by max_pixels" in errors["bomb"] and "floating-point" in errors["nan"]
    assert run(folder, tmp_path / "more.csv", max_pixels=30).failed == 2
    assert run(folder / "one.png", tmp_path / "few.csv", max_pixels=1).scored == 1


def test_a_score_that_is_no_number_is_an_error(folder: Path, tmp_path: Path) -> None:
    class Broken(FakePredictor):
        def _result(self, image: Any) -> Any:
            return replace(super()._result(image), score=float("nan"))

    assert run(folder, tmp_path / "scores.csv", Broken).failed == 5


def test_no_batch_is_larger_than_asked_for(folder: Path, tmp_path: Path) -> None:
    predictor = FakePredictor(batch_size=2)
    run(folder, tmp_path / "scores.csv", lambda: predictor)
    assert predictor.calls == [2, 2, 1]
