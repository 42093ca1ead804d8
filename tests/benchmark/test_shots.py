"""Test benchmarks with references: what is planned, drawn, run and resumed."""

import shutil

import numpy as np
import pandas as pd
import pytest

from anomalib_cops.errors import InputError
from benchmark.cli import main
from benchmark.measure.metrics import at_threshold
from benchmark.measure.outputs import Predictions
from benchmark.plan.configuration import read_matrix
from benchmark.plan.entries import MethodConfig, Transfer
from benchmark.plan.reference_draw import ReferenceDraw
from benchmark.plan.reference_pool import divide
from benchmark.plan.samples import samples_digest
from benchmark.records.store import Store, results_in
from benchmark.report.leaderboard import boards
from tests.benchmark.fake import RUN, FakeRunner, matrix, schedule

GOOD = "methods: [{name: a, model: CoPS}]\ntransfers: [{source: synthetic, targets: [synthetic]}]\n"
SHOTS = {"shots": [0, 1, 2], "draws": [0, 1, 2]}


def test_without_shots_fingerprints_are_those_of_earlier_versions():
    cells = matrix().cells()
    assert [(cell.fingerprint, cell.training.fingerprint) for cell in cells[:2]] == [
        ("2a941887b194", "40fa255b57c1"),
        ("e8ef0ac0bb8d", "40fa255b57c1"),
    ]
    assert not any("references" in cell.settings for cell in cells)


def test_every_number_and_draw_is_a_cell_and_shares_the_training():
    plain, cells = matrix().cells(), matrix(**SHOTS).cells()
    assert len(cells) == 9 * len(plain)
    assert len({cell.fingerprint for cell in (*plain, *cells)}) == len({cell.path for cell in (*plain, *cells)}) == 120
    assert {cell.training.fingerprint for cell in cells} == {cell.training.fingerprint for cell in plain}
    last = cells[-1]
    assert last.settings["references"] == {"shots": 2, "draw": 2, "largest": 2}
    assert last.title.endswith("seed 0, 2 references, draw 2") and "seed0-shots2-draw2--" in last.path
    # Another largest number leaves out other images.
    assert not {cell.fingerprint for cell in cells} & {cell.fingerprint for cell in matrix(shots=[2, 8]).cells()}


def test_what_is_fitted_on_references_has_no_row_without_any():
    rows = [MethodConfig("Fitted", "tests.benchmark.foreign.Learner", fitted_on="references")]
    cells = matrix(methods=rows, transfers=[Transfer("one", ["alpha"])], **SHOTS).cells()
    assert [(cell.references.shots, cell.references.draw) for cell in cells] == [
        (k, d) for k in (1, 2) for d in range(3)
    ]
    assert len({cell.training.fingerprint for cell in cells}) == 1
    on_source = matrix(methods=[MethodConfig("Fitted", rows[0].model)], transfers=[Transfer("one", ["alpha"])]).cells()
    assert on_source[0].training.fingerprint != cells[0].training.fingerprint


def test_the_built_in_configuration_is_as_the_page_says():
    shots = read_matrix("shots")
    assert (shots.shots, shots.draws, shots.backbone) == ([0, 1, 2, 4, 8], [0, 1, 2], "tiny")
    methods = [method.name for method in shots.methods if method.role == "method"]
    assert methods == ["CoPS", "AnomalyCLIP", "AdaCLIP", "VCP-CLIP"]
    of_quick = {method.name: method for method in read_matrix("quick").methods}
    assert all(method.options == of_quick[method.name].options for method in shots.methods if method.role == "method")
    assert len(shots.cells()) == 15 * 5 + 12
    part = {cell.fingerprint for cell in shots.only(draws=[1]).cells()}
    assert len(part) == 5 * 5 + 4 and part < {cell.fingerprint for cell in shots.cells()}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "shots: [-1]", "number of references -1 is negative"),
        (GOOD + "shots: [1, 1]", "number of references 1 is there twice"),
        (GOOD + "shots: [1]\ndraws: [0, 0]", "draw 0 is there twice"),
        (GOOD + "shots: [1]\ndraws: []", "draws is an empty list"),
        (GOOD.replace("model: CoPS", "model: CoPS, fitted_on: references") + "shots: [1]", "leave fitted_on out"),
        (GOOD.replace("CoPS", "a.b.C, fitted_on: references") + "shots: [0]", "give shots"),
        (GOOD.replace("model: CoPS", "model: CoPS, options: {k_shot: 2}"), "have k_shot"),
        (GOOD.replace("targets:", "options: {few_shot_source: x}, targets:") + "shots: [2]", "have few_shot_source"),
        (GOOD.replace("CoPS", "tests.benchmark.foreign.Darkness") + "shots: [2]", "takes no reference images"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_sentence(tmp_path, capsys, text, words):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    assert main(["run", str(path), "--output", str(tmp_path / "results")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and words in line


@pytest.fixture
def samples(tmp_path):
    """Return the images of a category: 10 normal and 6 anomalous ones, each with content of its own."""
    rows = []
    for label, count in ((0, 10), (1, 6)):
        for number in range(count):
            path = tmp_path / f"{'good' if label == 0 else 'bad'}-{number}.png"
            path.write_bytes(f"{label} {number:02}".encode())
            rows.append({"image_path": str(path), "label": "x", "label_index": label, "mask_path": ""})
    return pd.DataFrame(rows).sort_values("image_path", ignore_index=True)


@pytest.mark.parametrize("limit", [None, 4])
def test_references_are_the_first_of_a_pool_that_no_number_is_tested_on(samples, limit):
    parts = {k: divide(samples, ReferenceDraw(k, 1, 4), limit) for k in (0, 1, 2, 4)}
    for each in parts.values():
        assert list(each.pool["image_path"]) == list(parts[0].pool["image_path"])
        assert each.test.equals(parts[0].test) and each.digest == parts[0].digest
        assert len(each.pool) == 4 and (each.pool["label_index"] == 0).all()
        assert not set(each.pool["image_path"]) & set(each.test["image_path"])
    test = parts[0].test
    assert len(test) == (limit or 12) and (test["label_index"] == 0).sum() == (2 if limit else 6)


def test_draws_differ_and_a_smaller_largest_number_takes_the_first_of_the_same_order(samples):
    pools = [list(divide(samples, ReferenceDraw(1, draw, 4), None).pool["image_path"]) for draw in range(3)]
    assert len({tuple(pool) for pool in pools}) == 3
    assert list(divide(samples, ReferenceDraw(1, 0, 2), None).pool["image_path"]) == pools[0][:2]
    assert list(divide(samples.iloc[::-1], ReferenceDraw(1, 0, 4), None).pool["image_path"]) == pools[0]


def test_half_of_the_normal_images_stay_for_the_test(samples):
    pool = divide(samples, ReferenceDraw(8, 0, 8), None).pool
    assert len(pool) == 5
    one = samples[(samples["label_index"] == 1) | samples["image_path"].str.endswith("good-0.png")]
    assert divide(one, ReferenceDraw(0, 0, 8), None).pool.empty
    with pytest.raises(InputError, match="1 normal images, of which none can be spared"):
        divide(one, ReferenceDraw(1, 0, 8), None)


def test_a_digest_is_of_test_images_and_pool(samples):
    plain, drawn = divide(samples, None, None), divide(samples, ReferenceDraw(0, 0, 4), None)
    assert plain.digest == samples_digest(samples) and plain.pool.empty
    before = drawn.digest
    path = drawn.pool["image_path"].iloc[-1]
    with open(path, "ab") as file:
        file.write(b"exchanged")
    assert divide(samples, ReferenceDraw(0, 0, 4), None).digest != before


def test_a_copy_of_a_reference_is_refused_for_every_number(samples):
    pool = divide(samples, ReferenceDraw(4, 0, 4), None).pool["image_path"]
    tested = divide(samples, ReferenceDraw(4, 0, 4), None).test["image_path"].iloc[0]
    shutil.copy(pool.iloc[-1], tested)
    for k in (0, 1, 4):
        with pytest.raises(InputError, match=f"{tested} of the test images has the same content as an image that"):
            divide(samples, ReferenceDraw(k, 0, 4), None)
    divide(samples, None, None)


def test_a_run_resumes_what_is_missing_and_stands_beside_results_without_references(tmp_path, capsys):
    small = {"methods": matrix().methods[:2], "transfers": [Transfer("one", ["alpha"])]}
    folder, cells = tmp_path / "results", matrix(**small, shots=[0, 2], draws=[0, 1]).cells()
    assert schedule(folder, cells=matrix(**small).cells()).run().tested == 2 * 3
    outcome = schedule(folder, cells=cells).run()
    assert outcome.failures == [] and outcome.tested == 2 * 3 * 4
    (folder / cells[5].path).unlink()
    assert schedule(folder, cells=cells).run().tested == 3
    assert schedule(folder, cells=cells).run().tested == 0
    trainings = [line for line in (tmp_path / "journal").read_text().splitlines() if line.startswith("train")]
    assert len(trainings) == len(set(trainings)) == 2
    assert len(results_in(folder)) == 2 * 5 and capsys.readouterr().err == ""
    names = [board.name for board in boards(results_in(folder))]
    assert names == ["tiny", "tiny, 0 references", "tiny, 2 references"]
    assert all(board.incomparable_targets() == [] for board in boards(results_in(folder)))


def test_newer_settings_replace_older_ones_of_the_same_number_only(tmp_path, capsys):
    folder = tmp_path / "results"
    one = [Transfer("one", ["alpha"])]
    rows = [MethodConfig("One", "CoPS")]
    for changes, date in (({"shots": [0, 1]}, "2026-01-01"), ({"shots": [1, 2]}, "2026-01-02")):
        cells = matrix(methods=rows, transfers=one, draws=[0, 1], **changes).cells()
        schedule(folder, cells=cells, provenance={**RUN, "date": date}).run()
    kept = [(result.shots, result.draw, result.settings["references"]["largest"]) for _, result in results_in(folder)]
    assert sorted(kept) == [(0, 0, 1), (0, 1, 1), (1, 0, 2), (1, 1, 2), (2, 0, 2), (2, 1, 2)]
    assert "2 older results are not" in capsys.readouterr().err


def test_shares_of_labelled_images_are_those_above_the_threshold():
    scores, labels = np.array([0.1, 0.5, 0.6, 0.2, 0.5, 0.7, 0.9], np.float32), np.array([0, 0, 0, 0, 1, 1, 1])
    # A score equal to the threshold is not above it.
    assert at_threshold(Predictions(scores, labels), 0.5) == {"false_alarm_rate": 0.25, "recall": pytest.approx(2 / 3)}
    assert at_threshold(Predictions(scores[4:], labels[4:]), 0.5) == {"recall": pytest.approx(2 / 3)}
    assert at_threshold(Predictions(scores[:4], labels[:4]), 1.0) == {"false_alarm_rate": 0.0}


def test_failures_name_number_and_draw(tmp_path):
    cells = matrix(transfers=[Transfer("one", ["alpha"])], shots=[2], draws=[1]).cells()
    runner = FakeRunner(tmp_path / "journal", failing=("One/b",))
    outcome = schedule(tmp_path / "results", cells=cells, runner=runner).run()
    assert "seed 0, 2 references, draw 1, b: " in outcome.failures[0]
    (board,) = boards(Store(tmp_path / "results").results())
    assert board.failures()[0].startswith("One on alpha/b, seed 0, 2 references, draw 1: ")
