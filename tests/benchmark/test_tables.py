"""Test tables: means, ranks, missing figures, the papers' figures; and what is refused."""

import csv
import io
import json
import os
import re
import shutil
import statistics
import subprocess

import pytest

from anomalib_cops.errors import InputError
from benchmark.cli import main
from benchmark.records.result import METRICS, Result, Scores, TrainingRecord
from benchmark.records.store import Store, results_in
from benchmark.report import flat, render
from benchmark.report import table_command as command
from benchmark.report.board import ranks
from benchmark.report.leaderboard import boards
from benchmark.report.remarks import TINY_LABEL
from benchmark.report.reported import load_reported
from benchmark.report.table_command import table
from tests.benchmark.fake import RUN, FakeRunner, matrix, schedule


def result(method="CoPS", target="mvtec", seed=0, source="visa", backbone="ViT-L-14-336", **figures):
    """Return the result of a cell with one category."""
    figures = {name.replace("_", "-"): value for name, value in figures.items()} or {"I-AUROC": 0.5}
    return Result(
        method=method,
        role="method",
        model={"VCP-CLIP": "VCPCLIP"}.get(method, method),
        backbone=backbone,
        source=source,
        target=target,
        seed=seed,
        settings={"training": {"source": source}, "target": target},
        fingerprint="f",
        expected=["bottle"],
        categories={"bottle": Scores(figures, 5, 5, "same", 1.0, 2.0, 10)},
        training=TrainingRecord(1.0, 10, 10, ["candle"]),
        runs=[RUN],
    )


def made(*results):
    return boards([(f"{number}.json", each) for number, each in enumerate(results)])


def markdown(*results, metrics=("I-AUROC",)):
    return render.markdown(made(*results), load_reported(), metrics)


def test_best_is_bold_second_underlined_and_equal_values_share_a_rank():
    page = markdown(
        result("CoPS", I_AUROC=0.9), result("AnomalyCLIP", I_AUROC=0.9), result("AdaCLIP", I_AUROC=0.8),
        result("VCP-CLIP", I_AUROC=0.7),
    )  # fmt: skip
    assert page.count("**90.0** | 1 |") == 2
    assert "<u>" not in page.split("beside")[0]
    assert ranks([0.9, None, 0.8, 0.9, 0.1]) == [1, None, 3, 1, 4]
    assert "<u>80.0</u>" in markdown(result("CoPS", I_AUROC=0.9), result("AdaCLIP", I_AUROC=0.8))


def test_mean_and_deviation_over_seeds():
    values = [0.8, 0.9, 0.85]
    page = markdown(*(result(seed=seed, I_AUROC=value) for seed, value in enumerate(values)))
    assert f"85.0 ± {100 * statistics.stdev(values):.1f}" in page
    assert "seeds 0, 1, 2" in page


def test_a_paper_is_beside_ours_and_an_unverified_one_is_marked():
    page = markdown(result("CoPS", I_AUROC=0.96), result("AdaCLIP", I_AUROC=0.9))
    assert "| mvtec | I-AUROC | 95.0 | 96.0 | +1.0 |" in page
    assert "| mvtec | I-AUROC | 89.2† | 90.0 | +0.8 |" in page
    assert "† unverified" in page


def test_backbones_are_never_mixed_and_tiny_is_labelled():
    page = markdown(result(I_AUROC=0.96), result("AdaCLIP", backbone="tiny", I_AUROC=0.99))
    large, tiny = page.split("## Backbone tiny")
    assert "99.0" not in large and "96.0" not in tiny
    assert TINY_LABEL in tiny and TINY_LABEL not in large
    assert page.count("** | 1 |") == 2
    assert "beside its paper" in large and "beside its paper" not in tiny


def test_trained_on_what_is_tested_is_refused():
    leaky = result(source="mvtec", target="mvtec")
    leaky.training.categories = ["bottle", "cable"]
    with pytest.raises(InputError, match="not zero-shot"):
        made(leaky)
    leaky.training.categories = []
    with pytest.raises(InputError, match="not zero-shot"):
        made(leaky)
    leaky.training.categories = ["cable"]
    assert made(leaky)
    ready = result(target="mvtec", source="visa")
    ready.training = TrainingRecord(0.0, 0, 10)
    ready.settings["training"]["options"] = {"weights": "mvtec"}
    with pytest.raises(InputError, match="not zero-shot"):
        made(ready)
    ready.settings["training"]["options"] = {"weights": "mine.safetensors"}
    assert made(ready)
    seen = [{"set": "mvtec", "categories": ["bottle"]}]
    ready.settings["training"]["resolved"] = {"weights": {"digest": "d", "trained_on": seen}}
    with pytest.raises(InputError, match="not zero-shot"):
        made(ready)
    seen[0]["categories"] = ["cable"]
    assert made(ready)
    two = result(source="cvc_colondb + mvtec", target="mvtec")
    two.training.categories = ["bottle"]
    with pytest.raises(InputError, match="not zero-shot"):
        made(two)


def kept(tmp_path, *results):
    """Write result files with the settings and dates that are given, and read them as tables do."""
    store = Store(tmp_path)
    for number, (result, alpha, date) in enumerate(results):
        result.settings["training"] |= {"options": {"alpha": alpha}, "seed": result.seed}
        result.runs = [{**RUN, **({"date": date} if date else {})}]
        path = store.folder / f"cells/x/y/{number}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(result.to_json())
        os.utime(path, (number, number))
    return results_in(tmp_path)


def test_of_several_settings_the_newest_are_shown_and_it_is_said(tmp_path, capsys):
    found = kept(
        tmp_path,
        (result(I_AUROC=0.3), 1, "2026-02-01"),
        (result(I_AUROC=0.1), 2, "2026-01-01"),
        (result(I_AUROC=0.2, seed=1), 2, "2026-01-03"),
        (result(I_AUROC=0.4, target="visa", source="mvtec"), 2, "2025-01-01"),
    )
    (board,) = boards(found)
    (row,) = board.rows
    assert row.figure("mvtec", "I-AUROC").mean == 0.3 and row.figure("mvtec", "I-AUROC").seeds == 1
    assert row.figure("visa", "I-AUROC").mean == 0.4
    said = capsys.readouterr().err
    assert "CoPS with backbone ViT-L-14-336 was run with several settings" in said and "2 older results are not" in said
    assert main(["table", "--results", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "30.0" in printed.out and "newest are shown" in printed.err


def test_without_dates_the_files_tell_which_is_newest_and_one_setting_is_no_notice(tmp_path, capsys):
    found = kept(tmp_path, (result(I_AUROC=0.1), 1, ""), (result(I_AUROC=0.2), 2, ""))
    assert [each.categories["bottle"].scores["I-AUROC"] for _, each in found] == [0.2]
    assert (
        kept(tmp_path / "one", (result(), 1, ""), (result(seed=1), 1, "2026-01-01"))
        and "one" not in (capsys.readouterr().err.split("such as")[-1])
    )


def test_two_sources_for_one_target_are_two_rows():
    (board,) = made(result(source="visa"), result(source="btad"), result(source="btad", target="mpdd"))
    assert [row.method for row in board.rows] == ["CoPS ← btad", "CoPS ← visa"]
    (board,) = made(result(source="visa"), result(source="mvtec", target="visa"))
    assert [row.method for row in board.rows] == ["CoPS"]


def test_rows_that_saw_other_images_are_pointed_out():
    other = result("AdaCLIP")
    other.categories["bottle"].images = "fewer"
    assert "mvtec: rows saw different images" in markdown(result("CoPS"), other)
    assert "different images" not in markdown(result("CoPS"), result("AdaCLIP"))


def test_a_missing_category_is_a_hole_not_a_mean():
    partial = result(I_AUROC=0.9)
    partial.expected.append("cable")
    page = markdown(partial, result("AdaCLIP", I_AUROC=0.8))
    assert "| 1 of 2 |" in page and "90.0" not in page.split("### Ablation")[0].split("beside")[0]


def test_what_labels_do_not_allow_is_no_column():
    page = markdown(result(I_AUROC=0.9), result(target="isic", P_AUROC=0.8), metrics=METRICS)
    images, pixels = page.split("### P-AUROC")
    assert "isic" not in images.split("### I-AUROC")[1] and "isic" in pixels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("tables")
    cells = matrix(seeds=[0, 1]).cells()
    schedule(place / "results", cells=cells, runner=FakeRunner(place / "journal", failing=("h",))).run()
    return place / "results"


def test_records_are_flat_and_hold_everything(folder):
    rows = list(csv.DictReader(io.StringIO(table(folder, "csv"))))
    assert set(rows[0]) == set(flat.COLUMNS)
    by_place = {(row["method"], row["target"], row["category"], row["metric"]): row for row in rows}
    one, hole = by_place["One", "alpha", "a", "I-AP"], by_place["One", "gamma", "", "I-AP"]
    assert 0 < float(one["mean"]) < 1 and one["seeds"] == "2" and one["rank"] in "123"
    assert hole["mean"] == "" and hole["hole"] == "failed"
    assert not [row for row in rows if row["target"] == "beta" and row["metric"].startswith("P-")]
    content = json.loads(table(folder, "json"))
    assert len(content["records"]) == len(rows) and len(content["failures"]) == 2 * 4


def test_ablation_is_not_ranked_and_shows_differences(folder):
    page = table(folder, "markdown")
    overview = page.split("### Ablation")[0]
    assert "One w/o X" not in overview.split("### I-AUROC")[1]
    assert "| One w/o X |" in page.split("### Ablation")[1]


def test_latex_is_escaped_and_compiles_if_there_is_a_compiler(folder, tmp_path):
    text = table(folder, "latex", categories=True)
    assert "\\toprule" in text and "\\bottomrule" in text and "±" not in text and "w/o" in text
    for block in text.split("\\begin{table}")[1:]:
        (columns,) = re.findall(r"\\begin\{tabular\}\{(.*?)\}", block)
        lines = [line for line in block.splitlines() if line.endswith("\\\\")]
        assert len(lines) > 1 and all(len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1 for line in lines)
    compiler = shutil.which("pdflatex")
    if compiler is None:
        return
    source = f"\\documentclass{{article}}\\usepackage{{booktabs}}\\begin{{document}}\n{text}\n\\end{{document}}\n"
    (tmp_path / "page.tex").write_text(source)
    subprocess.run([compiler, "-halt-on-error", "page.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_stale_tables_are_found(folder, capsys):
    arguments = ["table", "--results", str(folder)]
    assert main([*arguments, "--check"]) == 1
    assert main([*arguments, "--write"]) == 0
    assert main([*arguments, "--check"]) == 0
    path = folder / f"{command.NAME}.md"
    path.write_text(path.read_text().replace("I-AUROC", "I-AUR0C"))
    assert main([*arguments, "--check"]) == 1
    assert "leaderboard.md is stale" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--results", "/nowhere"), "no folder /nowhere"),
        (("--format", "latx"), "did you mean 'latex'"),
        (("--metrics", "[I-AUROK]"), "did you mean 'I-AUROC'"),
    ],
)
def test_bad_arguments_are_one_sentence(folder, capsys, arguments, words):
    given = arguments if "--results" in arguments else ("--results", str(folder), *arguments)
    assert main(["table", *given]) == 2
    assert words in capsys.readouterr().err


def test_published_figures_carry_their_sources():
    reported = load_reported()
    assert reported.value("CoPS", "mvtec", "I-AUROC") == 95.0
    assert reported.text("VCPCLIP", "visa", "AUPRO") == "90.7†"
    assert "arXiv" in reported.legend or "README" in reported.legend
    assert "unverified" in reported.note("AdaCLIP") and "unverified" not in reported.note("CoPS")
