"""Test how results with references are shown: tables by number of references, at a threshold, and the page."""

import csv
import io
import json
import statistics

import pytest

from benchmark.records.reading import read_result
from benchmark.records.result import AT_THRESHOLD, METRICS, Result, Scores, TrainingRecord
from benchmark.report import flat, render
from benchmark.report.leaderboard import boards
from benchmark.report.page_data import board_data
from benchmark.report.reported import load_reported
from tests.benchmark.fake import RUN

VALUES = {  # of I-AUROC on two data sets, by number of references and draw
    0: {0: (0.5, 0.7), 1: (0.6, 0.6), 2: (0.7, 0.8)},
    2: {0: (0.8, 0.9), 1: (0.9, 0.9), 2: (0.7, 0.9)},
}


def made(method, shots, draw, target, value, **figures):
    drawn = {} if shots is None else {"references": {"shots": shots, "draw": draw, "largest": 2}}
    return Result(
        method=method,
        role="baseline" if method == "PatchCore" else "method",
        model=method,
        backbone="tiny",
        source="visa",
        target=target,
        seed=0,
        settings={"training": {"source": "visa"}, "target": target, **drawn},
        fingerprint=f"{method}{shots}{draw}{target}",
        expected=["bottle"],
        categories={
            "bottle": Scores({"I-AUROC": value, **figures}, 5, 5, f"draw {draw}", 1.0, 2.0, 10, references=shots)
        },
        training=TrainingRecord(1.0, 10, 10, ["candle"]),
        runs=[RUN],
    )


def by_hand(**figures):
    found = []
    for shots, draws in VALUES.items():
        for draw, values in draws.items():
            for target, value in zip(("alpha", "beta"), values, strict=True):
                found.append(made("CoPS", shots, draw, target, value, **figures))
                if shots:
                    found.append(made("PatchCore", shots, draw, target, value / 2))
    return [(f"{number}.json", result) for number, result in enumerate(found)]


def test_the_table_by_references_is_the_mean_over_draws_of_the_means_over_data_sets():
    page = render.markdown(boards(by_hand()), load_reported(), METRICS, categories=True)
    expected = []
    for draws in VALUES.values():
        means = [statistics.fmean(values) for values in draws.values()]
        expected.append(f"{100 * statistics.fmean(means):.1f} ± {100 * statistics.stdev(means):.1f}")
    assert "### I-AUROC by number of references, mean over data sets" in page
    assert "| method | 0 references | 2 references |" in page
    assert f"| CoPS | **{expected[0]}** | **{expected[1]}** |" in page
    assert "| PatchCore | – | <u>42.5 ± 2.5</u> |" in page
    assert expected == ["65.0 ± 8.7", "85.0 ± 5.0"]
    assert (
        "### I-AUROC by number of references, on beta" in page and "| CoPS | **70.0 ± 10.0** | **90.0 ± 0.0** |" in page
    )
    assert page.index("by number of references") < page.index("## Backbone tiny, 0 references")
    assert "seed 0, draws 0, 1, 2 of references" in page
    assert "by number of references, on" not in render.markdown(boards(by_hand()), load_reported(), METRICS)
    latex = render.latex(boards(by_hand()), load_reported(), METRICS)
    assert "I-AUROC by number of references" in latex and "Backbone tiny, 2 references" in latex


def test_a_category_with_fewer_references_than_asked_for_is_named():
    results = by_hand()
    for _, result in results:
        if result.shots == 2 and result.target == "beta":
            result.categories["bottle"].references = 1
    page = render.markdown(boards(results), load_reported(), METRICS, categories=True)
    assert page.count("Fewer references, as half of the normal images are tested: beta/bottle 1.") == 2
    assert "Fewer references" not in page.split("on alpha")[1].split("###")[0]


def test_figures_at_a_threshold_have_a_table_of_their_own_and_no_rank():
    results = by_hand(false_alarm_rate=0.25, recall=0.5)
    page = render.markdown(boards(results), load_reported(), (*METRICS, *AT_THRESHOLD), categories=True)
    table = page.split("### At a fixed threshold: false alarms / recall, mean over categories")[1].split("###")[0]
    assert "| method | alpha | beta | mean |" in table
    assert "| CoPS | 25.0 ± 0.0 / 50.0 ± 0.0 |" in table and "PatchCore" not in table
    assert "rank" not in table and "### recall" not in page and "**25" not in page
    rows = list(csv.DictReader(io.StringIO(flat.as_csv(boards(results), load_reported(), (*METRICS, *AT_THRESHOLD)))))
    assert set(rows[0]) == {*flat.COLUMNS, "references"}
    fixed = [row for row in rows if row["metric"] in AT_THRESHOLD and row["method"] == "CoPS"]
    assert fixed and {row["rank"] for row in fixed} == {""}
    assert {row["mean"] for row in fixed if row["metric"] == "recall"} == {"0.5"}
    (mean,) = [row for row in rows if (row["target"], row["metric"], row["references"], row["method"])
               == ("", "I-AUROC", "0", "CoPS")]  # fmt: skip
    assert (mean["mean"], mean["deviation"], mean["seeds"]) == ("0.65", "0.086603", "3")


def test_results_without_these_columns_are_shown_as_before(tmp_path):
    old = [("old.json", made("CoPS", None, 0, "alpha", 0.5))]
    everything = (*METRICS, *AT_THRESHOLD)
    page = render.markdown(boards(old), load_reported(), everything)
    assert "threshold" not in page and "references" not in page and "## Backbone tiny\n" in page
    assert "references" not in flat.as_csv(boards(old), load_reported(), everything).splitlines()[0]
    (tmp_path / "old.json").write_text(old[0][1].to_json())
    content = json.loads((tmp_path / "old.json").read_text())
    assert content["format"] == 1 and "references" not in content["categories"]["bottle"]
    assert read_result(tmp_path / "old.json") == old[0][1]
    new = made("CoPS", 2, 0, "alpha", 0.5)
    (tmp_path / "new.json").write_text(new.to_json())
    assert json.loads((tmp_path / "new.json").read_text())["format"] == 2
    assert read_result(tmp_path / "new.json") == new


def test_the_page_gets_a_line_per_method_in_colours_that_stay():
    all_boards = boards(by_hand(false_alarm_rate=0.25, recall=0.5))
    none, two = (board_data(board, all_boards, load_reported()) for board in all_boards)
    assert none["by_shots"] == two["by_shots"] and none["by_shots"]["shots"] == [0, 2]
    assert none["by_shots"]["figures"]["I-AUROC"]["PatchCore"] == [None, [0.425, pytest.approx(0.025)]]
    assert none["thresholds"] == list(AT_THRESHOLD) and "recall" not in none["metrics"]
    assert [(row["method"], row["colour"]) for row in two["rows"]] == [("CoPS", 0), ("PatchCore", 1)]
    (plain,) = boards([("old.json", made("CoPS", None, 0, "alpha", 0.5))])
    assert board_data(plain, [plain], load_reported())["by_shots"] is None
