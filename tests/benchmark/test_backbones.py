"""Test benchmarks with several backbones: what is planned and refused, ranks, and the table of all backbones."""

import csv
import io
import json
import re

import pytest

from anomalib_cops.errors import InputError
from benchmark.cli import main
from benchmark.plan.backbones import BackboneConfig
from benchmark.plan.configuration import read_matrix
from benchmark.plan.entries import MethodConfig, Transfer
from benchmark.records.result import METRICS
from benchmark.records.store import Store
from benchmark.report import flat, render
from benchmark.report.leaderboard import boards
from benchmark.report.page_command import page
from benchmark.report.reported import load_reported
from benchmark.report.same_method import HEADING, same_method_tables
from benchmark.report.table_command import table
from benchmark.run.dry_run import print_plan
from benchmark.run.runner import ModelRunner
from tests.benchmark.fake import FakeRunner, matrix, schedule

GOOD = "methods: [{name: a, model: CoPS}]\ntransfers: [{source: synthetic, targets: [synthetic]}]\n"
TWO = [BackboneConfig("tiny"), BackboneConfig("tiny", image_size=60)]


def several(backbones=None, **changes):
    """Return the fake matrix with several backbones in place of its single one."""
    return matrix(**{"backbone": None, "backbones": backbones or TWO, **changes})


def written(tmp_path, text):
    path = tmp_path / "matrix.yaml"
    path.write_text(text)
    return path


def test_an_entry_is_a_name_or_a_mapping(tmp_path):
    entries = "[tiny, {backbone: ViT-B-16, pretrained: nets/laion.pt, image_size: 384}]"
    read = read_matrix(str(written(tmp_path, f"{GOOD}backbones: {entries}")))
    assert read.backbones == [BackboneConfig("tiny"), BackboneConfig("ViT-B-16", "nets/laion.pt", 384)]
    assert [cell.training.backbone for cell in read.cells()] == ["tiny", "ViT-B-16, laion.pt, 384 px"]
    assert read.cells()[1].training.options == {
        "backbone": "ViT-B-16", "pretrained": "nets/laion.pt", "image_size": 384
    }  # fmt: skip


def test_a_name_in_the_list_has_the_results_of_the_single_backbone():
    single, cells = matrix().cells(), several().cells()
    assert len(cells) == 2 * len(single)
    by_path = {cell.path: cell for cell in cells}
    assert len(by_path) == len({cell.fingerprint for cell in cells}) == len(cells)
    assert {cell.path for cell in single} == {path for path in by_path if "/tiny/" in path}
    for cell in single:
        assert by_path[cell.path].settings == cell.settings
        assert by_path[cell.path].training.fingerprint == cell.training.fingerprint
    (default,) = matrix(methods=matrix().methods[:1], transfers=[Transfer("one", ["alpha"])], backbone=None).cells()
    assert (default.training.backbone, default.training.options["backbone"]) == ("ViT-L-14-336", "ViT-L-14-336")


def test_seeds_draws_and_transfers_are_run_with_every_backbone():
    changes = {"seeds": [0, 1], "shots": [0, 2], "draws": [0, 1]}
    cells = several(**changes).cells()
    each = {
        backbone: {
            (cell.method, cell.target, cell.training.seed, cell.references)
            for cell in cells
            if cell.training.backbone == backbone
        }
        for backbone in ("tiny", "tiny, 60 px")
    }
    assert each["tiny"] == each["tiny, 60 px"] and len(each["tiny"]) == len(matrix(**changes).cells())
    # All targets of a training follow each other, so that no model is loaded twice.
    trainings = [cell.training.fingerprint for cell in several().cells()]
    changes_of_training = sum(one != other for one, other in zip(trainings, trainings[1:], strict=False))
    assert changes_of_training + 1 == len({(cell.training.fingerprint, cell.method) for cell in several().cells()})


def test_a_model_of_others_runs_once_on_the_board_that_it_names():
    foreign = [
        MethodConfig("WinCLIP", "anomalib.models.WinClip", backbone="tiny, 60 px", role="baseline"),
        MethodConfig("Learner", "tests.benchmark.foreign.Learner", {"backbone": "its own"}),
    ]
    cells = several(methods=[*matrix().methods[:1], *foreign], transfers=[Transfer("one", ["alpha"])]).cells()
    assert [(cell.method, cell.training.backbone) for cell in cells] == [
        ("One", "tiny"),
        ("One", "tiny, 60 px"),
        ("WinCLIP", "tiny, 60 px"),
        ("Learner", "of Learner"),
    ]
    assert cells[2].training.options == {} and cells[3].training.options == {"backbone": "its own"}


LIST = "backbones: [tiny]\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "backbones: []", "backbones is an empty list"),
        (GOOD + "backbones: tiny", "backbones is 'tiny', but has to be a list"),
        (GOOD + "backbones: [3]", "the entry 3 of backbones has no backbone"),
        (GOOD + "backbones: [{image_size: 60}]", "of backbones has no backbone"),
        (GOOD + "backbones: ['']", "an entry of backbones has an empty name"),
        (GOOD + "backbones: [{backbone: tiny, imagesize: 60}]", "did you mean 'image_size'"),
        (GOOD + "backbones: [{backbone: tiny, image_size: big}]", "the image_size big of backbone 'tiny'"),
        (GOOD + "backbones: [{backbone: tiny, image_size: 0}]", "the image_size 0 of backbone 'tiny'"),
        (GOOD + "backbones: [{backbone: tiny, pretrained: openai}]", "'tiny' has weights of its own"),
        (GOOD + "backbones: [tiny, {backbone: tiny}]", "the backbone 'tiny' is there twice"),
        (
            GOOD + "backbones: [{backbone: B, pretrained: a/x.pt}, {backbone: B, pretrained: b/x.pt}]",
            "a/x.pt and b/x.pt have the same name",
        ),
        (GOOD + LIST + "backbone: tiny", "both backbone: tiny and backbones"),
        (GOOD.replace("CoPS", "CoPS, options: {backbone: tiny}") + LIST, "options of 'a' have backbone: tiny"),
        (GOOD.replace("CoPS", "CoPS, options: {pretrained: x}") + LIST, "options of 'a' have pretrained: x"),
        (GOOD.replace("CoPS", "CoPS, test_options: {image_size: 60}") + LIST, "options of 'a' have image_size: 60"),
        (GOOD.replace("targets", "options: {image_size: 60}, targets") + LIST, "options of 'a' have image_size: 60"),
        (GOOD.replace("CoPS", "CoPS, backbone: mine") + LIST, "'a' has backbone: mine"),
    ],
)
def test_lists_that_cannot_be_run_are_refused_in_one_sentence(tmp_path, capsys, text, words):
    assert main(["run", str(written(tmp_path, text)), "--output", str(tmp_path / "results")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and words in line
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("backbones", "words"),
    [
        ("[tiny, tinny]", "Unknown backbone 'tinny'; did you mean 'tiny'"),
        ("[tiny, {backbone: tiny, image_size: 50}]", "image_size=50 is not a multiple of the 12-pixel patches"),
        ("[tiny, {backbone: tiny, image_size: 120}]", "'tiny' and 'tiny, 120 px' are the same"),
        ("[ViT-B-16, {backbone: ViT-B-16, pretrained: openai}]", "'ViT-B-16' and 'ViT-B-16, openai' are the same"),
    ],
)
def test_unknown_and_equal_backbones_are_refused_before_anything_runs(tmp_path, backbones, words):
    cells = read_matrix(str(written(tmp_path, f"{GOOD}backbones: {backbones}"))).cells()
    with pytest.raises(InputError, match=words):
        ModelRunner().prepare(cells)


def test_options_of_transfers_for_models_of_others_are_no_contradiction():
    methods = [MethodConfig("Own", "CoPS"), MethodConfig("Learner", "tests.benchmark.foreign.Learner")]
    transfers = [
        Transfer("one", ["alpha"], methods=["Own"]),
        Transfer("one", ["alpha"], methods=["Learner"], options={"image_size": 60}),
    ]
    several(methods=methods, transfers=transfers).check()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return fake results with two backbones, of which the second was added to results with the single one."""
    place = tmp_path_factory.mktemp("backbones")
    schedule(place / "results", cells=matrix(seeds=[0, 1]).cells()).run()
    outcome = schedule(
        place / "results", cells=several(seeds=[0, 1]).cells(), runner=FakeRunner(place / "second")
    ).run()
    assert outcome.tested == 2 * 4 * 9 and not outcome.failures
    return place / "results"


def test_a_backbone_is_added_to_earlier_results_without_running_these_again(folder):
    tested = [line for line in (folder.parent / "second").read_text().splitlines() if line.startswith("test ")]
    earlier = {cell.fingerprint for cell in matrix(seeds=[0, 1]).cells()}
    assert len(tested) == 2 * 4 * 9 and not earlier & {line.split()[1] for line in tested}
    of_backbone = {result.fingerprint: result.backbone for _, result in Store(folder).results()}
    assert {each for name, each in of_backbone.items() if name in earlier} == {"tiny"}
    assert {each for name, each in of_backbone.items() if name not in earlier} == {"tiny, 60 px"}


def test_a_dry_run_tells_backbones_apart(folder, capsys):
    print_plan(several(seeds=[0, 1, 2]).cells(), Store(folder, read_only=True), FakeRunner(folder.parent / "dry"))
    said = " ".join(capsys.readouterr().out.split())
    assert "60 px" in said and f"{2 * 3 * 12} cells" in said and f"{2 * 4 * 9} of them missing" in said
    assert "from what was measured" in said


def test_ranks_and_means_are_those_of_each_backbone_alone(folder):
    both, sections = boards(Store(folder).results()), table(folder, "markdown").split("## Backbone ")[1:]
    assert [section.splitlines()[0] for section in sections] == ["tiny", "tiny, 60 px"]
    for board, section in zip(both, sections, strict=True):
        alone = render.markdown([board], load_reported(), METRICS)
        assert f"## Backbone {section.split(f'## {HEADING}')[0].rstrip()}\n" == alone
        assert HEADING not in alone
    rows = list(csv.DictReader(io.StringIO(table(folder, "csv"))))
    for board in both:
        alone = list(csv.DictReader(io.StringIO(flat.as_csv([board], load_reported(), METRICS))))
        shown = [row for row in rows if row["backbone"] == board.backbone]
        assert [row for row in shown if row["target"]] == alone
        means = [row for row in shown if not row["target"] and row["metric"] == "I-AUROC"]
        assert sorted(row["rank"] for row in means if row["role"] != "ablation") == ["1", "2", "3"]
        assert {row["method"] for row in means} == {row.method for row in board.rows}
    records = json.loads(table(folder, "json"))["records"]
    assert [record for record in records if not record["target"]] and len(records) == len(rows)


def test_one_table_has_the_same_method_with_all_backbones(folder):
    (section,) = table(folder, "markdown").split(f"## {HEADING}\n")[1:]
    assert "### I-AUROC / P-AUROC, mean over data sets" in section and "compares backbones" in section
    assert "| backbone | One | Two | Plain |" in section and "**" not in section and "<u>" not in section
    by_name = {board.backbone: board for board in boards(Store(folder).results())}
    for line in re.findall(r"^\| (tiny.*?) \| (.*?) \|", section, flags=re.MULTILINE):
        backbone, figures = line
        row = next(row for row in by_name[backbone].rows if row.method == "One")
        expected = [
            row.figure_over(by_name[backbone].targets_with(metric), metric).mean for metric in ("I-AUROC", "P-AUROC")
        ]
        assert [each.split(" ±")[0] for each in figures.split(" / ")] == [f"{100 * each:.1f}" for each in expected]
    assert HEADING in table(folder, "latex") and HEADING in page(folder)
    assert table(folder, "markdown", ["AUPRO"]).count(HEADING) == 0
    (only_image,) = same_method_tables(list(by_name.values()), ["I-AUROC"])
    assert only_image.title == "I-AUROC, mean over data sets"


def test_the_page_with_one_backbone_has_no_such_table(folder, tmp_path):
    schedule(tmp_path / "results").run()
    assert HEADING not in page(tmp_path / "results") and HEADING not in table(tmp_path / "results", "markdown")
    data = json.loads(re.findall(r'<script id="data".*?>(.*?)</script>', page(folder), flags=re.DOTALL)[0])
    assert [board["backbone"] for board in data] == ["tiny", "tiny, 60 px"] and all(board["label"] for board in data)


CONFIGURATION = """
backbones: [tiny, {backbone: tiny, image_size: 60}]
data: {images_per_category: 4, synthetic_samples: 4, synthetic_size: 60, train_batch_size: 8, num_workers: 0}
methods: [{name: AnomalyCLIP, model: AnomalyCLIP, options: {epochs: 1}}]
transfers: [{source: synthetic, source_categories: [leather], targets: [synthetic], target_categories: [screw]}]
"""


def test_two_backbones_are_run_and_shown_by_the_command_line(tmp_path, capsys):
    arguments = ["run", str(written(tmp_path, CONFIGURATION)), "--output", str(tmp_path / "results")]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert "2 categories tested" in said.out and "AnomalyCLIP (tiny, 60 px) learned from" in said.err
    encoders = {
        result.backbone: result.settings["training"]["resolved"]["encoder"]["image_size"]
        for _, result in Store(tmp_path / "results").results()
    }
    assert encoders == {"tiny": 120, "tiny, 60 px": 60}
    assert main(["table", "--results", str(tmp_path / "results")]) == 0
    shown = capsys.readouterr().out
    assert shown.count("** | 1 |") == 2 * 7 and f"## {HEADING}" in shown
    assert main(arguments) == 0 and "0 categories tested" in capsys.readouterr().out
    # Earlier configurations find these results where the name alone identifies the backbone.
    single = CONFIGURATION.replace("backbones: [tiny, {backbone: tiny, image_size: 60}]", "backbone: tiny")
    assert main(["run", str(written(tmp_path, single)), "--output", str(tmp_path / "results")]) == 0
    assert "0 categories tested" in capsys.readouterr().out
