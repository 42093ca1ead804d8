"""Test what configurations become, and that bad ones are refused in one sentence."""

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

from anomalib_cops.data.sets.catalog import CATALOG
from anomalib_cops.errors import InputError
from anomalib_cops.registry import METHODS
from anomalib_cops.weights.published import PUBLISHED
from benchmark.cli import COMMANDS, main
from benchmark.plan import configuration
from benchmark.plan.backbones import BackboneConfig
from benchmark.plan.configuration import built_in, read_matrix
from benchmark.plan.data_settings import DataSettings
from benchmark.plan.entries import MethodConfig, Transfer
from benchmark.plan.matrix import Matrix
from benchmark.plan.names import identity
from benchmark.report.reported import load_reported
from tests.benchmark.fake import matrix

GOOD = "methods: [{name: a, model: CoPS}]\ntransfers: [{source: synthetic, targets: [synthetic]}]\n"


def refused(capsys, *arguments):
    """Return the one sentence of a refused command."""
    assert main([str(each) for each in arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("name", built_in())
def test_built_in_configurations_are_sound(name):
    cells = read_matrix(name).cells(discovered=("/somewhere/parts",))
    assert cells and len({cell.path for cell in cells}) == len(cells)


def test_the_papers_protocol_says_which_set_serves_which():
    reported = load_reported()
    cells = read_matrix("paper").cells()
    of = {(cell.method, cell.target): cell.training for cell in cells if cell.training.seed == 0}
    for method, model in (("CoPS", "cops"), ("AnomalyCLIP", "anomaly_clip")):
        class_name = {"cops": "CoPS", "anomaly_clip": "AnomalyCLIP"}[model]
        served = reported.trained_on(class_name)
        targets = [target for name, target in of if name == method]
        assert targets
        for target in targets:
            assert of[method, target].source == (served.get(target, served["default"]),)
    assert of["AdaCLIP", "mvtec"].source == ("visa", "cvc_clinicdb")
    assert of["AdaCLIP", "headct"].source == ("mvtec", "cvc_colondb")
    assert of["AdaCLIP", "headct"].source_name == "mvtec + cvc_colondb"
    assert len([target for name, target in of if name == "CoPS"]) == 13
    assert of["CoPS", "visa"].options["preset"] == "mvtec" and of["CoPS", "btad"].options["preset"] == "visa"
    assert all(cell.target not in cell.training.source for cell in cells)


def test_published_weights_are_tested_on_what_is_there_as_the_papers_do():
    there = ("mvtec", "visa", "btad", "cvc_colondb", "cvc_clinicdb", "/somewhere/parts")
    cells = read_matrix("published").cells(discovered=there)
    of = {(cell.method, cell.target): cell.training for cell in cells}
    assert len(of) == len(cells) == 4 * len(there)
    paper = {(cell.method, cell.target): cell.training.source for cell in read_matrix("paper").cells()}
    for (method, target), training in of.items():
        assert paper.get((method, target), training.source) == training.source
        assert PUBLISHED[training.model][training.options["weights"]].trained_on == training.source
    assert not read_matrix("published").cells()


def test_sets_that_are_wished_for_are_targets_where_they_are_found(tmp_path):
    for name in ("parts", "nuts"):
        (tmp_path / name).mkdir()
    found = ("mvtec", str(tmp_path / "parts"), str(tmp_path / "nuts"))
    cells = matrix(transfers=[Transfer("one", discover=["mvtec", "parts", "visa"])]).cells(tmp_path, found)
    assert {cell.target_name for cell in cells} == {"mvtec", "parts"}


def test_quick_has_four_methods_two_baselines_and_the_ablation():
    quick = read_matrix("quick")
    assert {method.model for method in quick.methods if method.role == "method"} == set(METHODS)
    assert [method.role for method in quick.methods].count("baseline") == 2
    assert [method.role for method in quick.methods].count("ablation") == 3
    assert quick.backbone == "tiny"


def test_ablation_sweeps_share_the_training_where_they_can():
    cells = {cell.method: cell for cell in read_matrix("ablation").cells()}
    whole = cells["CoPS"].training.fingerprint
    for name in ("w/o SAGA", "R = 1", "R = 20", "posterior samples"):
        assert cells[name].training.fingerprint == whole
    for name in ("w/o ESTS", "w/o ICTS", "M = 1", "M = 10", "Static prompts"):
        assert cells[name].training.fingerprint != whole


@pytest.mark.parametrize("kind", [MethodConfig, BackboneConfig, Transfer, Matrix, DataSettings])
def test_every_field_is_documented(kind):
    documented = set(re.findall(r"^\s+(\w+): ", inspect.getdoc(kind), flags=re.MULTILINE))
    assert {each.name for each in dataclasses.fields(kind)} <= documented


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("CoPS", "COPS"), "did you mean 'CoPS'"),
        (GOOD + "seeds: [-1]", "seed -1 is negative"),
        (GOOD + "seeds: []", "empty"),
        (GOOD + "seeds: [1, 1]", "twice"),
        ("methods: []\ntransfers: [{source: visa, targets: [mvtec]}]", "the matrix is empty: methods"),
        ("methods: [{name: a, model: CoPS}]\ntransfers: []", "the matrix is empty: transfers"),
        ("methods: [{name: a, model: CoPS}]\ntransfers: [{source: visa}]", "no targets"),
        (GOOD.replace("targets", "methods: [b], targets"), "unknown method 'b'"),
        (GOOD.replace("methods:", "metods:"), "did you mean 'methods'"),
        (GOOD.replace("model:", "modle: x, model:"), "did you mean 'model'"),
        (GOOD + "data: {images_per_categories: 3}", "images_per_categories"),
        (GOOD + "seeds: [x]", "seeds"),
        ("{", "no benchmark"),
        ("", "no fields"),
        ("methods: [a]", "has to have fields"),
    ],
)
def test_what_is_no_benchmark_is_refused_in_one_sentence(tmp_path, capsys, text, words):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    assert words in refused(capsys, "run", path, "--output", tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("targets: [synthetic]", "targets: [mvtek]"), "did you mean 'mvtec'"),
        (GOOD.replace("targets: [synthetic]", "targets: [/nowhere/at/all]"), "/nowhere/at/all does not exist"),
        (GOOD.replace("source: synthetic", "source: synthetik"), "did you mean 'synthetic'"),
        (GOOD.replace("CoPS", "anomalib.models.WinKlip"), "did you mean 'WinClip'"),
        (GOOD.replace("CoPS", "no.such.module.Model"), "cannot be imported"),
        (GOOD.replace("model: CoPS", "model: CoPS, options: {epcohs: 1}"), "did you mean 'epochs'"),
    ],
)
def test_what_is_not_there_is_said_before_anything_runs(tmp_path, capsys, text, words):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    assert words in refused(capsys, "run", path, "--output", tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("quik",), "did you mean 'quick'"),
        (("quick", "--root", "/nowhere/data"), "no folder /nowhere/data"),
        (("quick", "--methods", "[CoPSS]"), "did you mean 'CoPS'"),
        (("quick", "--seeds", "[-3]"), "negative"),
        (("quick", "--executor", "rai"), "did you mean 'ray'"),
        (("published",), "published finds nothing to test"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(tmp_path, capsys, arguments, words):
    assert words in refused(capsys, "run", *arguments, "--output", tmp_path / "results")


def test_an_empty_root_is_refused(tmp_path, capsys):
    (tmp_path / "root").mkdir()
    assert "no labelled data sets" in refused(capsys, "run", "quick", "--root", tmp_path / "root")


def test_two_folders_of_one_name_are_refused():
    with pytest.raises(InputError, match="same name"):
        matrix(transfers=[Transfer("one", ["/a/parts", "/b/parts"])]).cells()


def test_a_target_given_twice_is_refused():
    transfers = [Transfer("one", ["alpha"]), Transfer("one", ["alpha"])]
    with pytest.raises(InputError, match="twice"):
        matrix(transfers=transfers).cells()


def test_a_moved_root_leaves_fingerprints_alone(tmp_path):
    for name in ("here", "there"):
        (tmp_path / name / "parts").mkdir(parents=True)
    cells = [
        matrix().cells(tmp_path / name, ()) + _found(tmp_path / name, tmp_path / name / "parts")
        for name in ("here", "there")
    ]
    assert [cell.fingerprint for cell in cells[0]] == [cell.fingerprint for cell in cells[1]]


def test_a_source_below_the_root_is_no_target_of_itself(tmp_path):
    (tmp_path / "parts").mkdir()
    cells = matrix(transfers=[Transfer(str(tmp_path / "parts"), discover=True)]).cells(
        tmp_path, (str(tmp_path / "parts"), "mvtec")
    )
    assert {cell.target for cell in cells} == {"mvtec"}


def _found(root, folder):
    return matrix(transfers=[Transfer("one", discover=True)]).cells(root, (str(folder),))


def test_names_stay_names_and_folders_become_paths(tmp_path):
    (tmp_path / "parts").mkdir()
    assert identity("mvtec", tmp_path) == "mvtec"
    assert identity(str(tmp_path / "parts"), tmp_path) == "parts"
    assert identity(str(tmp_path / "parts"), None) == (tmp_path / "parts").resolve().as_posix()


def test_a_folder_that_happens_to_be_here_changes_no_fingerprint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = [cell.fingerprint for cell in matrix().cells()]
    (tmp_path / "alpha").mkdir()
    assert [cell.fingerprint for cell in matrix().cells()] == before


def test_workers_and_batches_of_a_test_do_not_change_a_training():
    few, many = (matrix(data=DataSettings(eval_batch_size=size, num_workers=size)).cells() for size in (1, 8))
    assert [cell.fingerprint for cell in few] == [cell.fingerprint for cell in many]
    other = matrix(data=DataSettings(synthetic_samples=7)).cells()
    assert not {cell.fingerprint for cell in few} & {cell.fingerprint for cell in other}


def test_names_of_the_papers_protocol_are_in_the_catalogue():
    cells = read_matrix("paper").cells()
    assert {name for cell in cells for name in (*cell.training.source, cell.target)} <= set(CATALOG)


def test_commands_have_help(capsys):
    for name in COMMANDS:
        with pytest.raises(SystemExit) as left:
            main([name, "--help"])
        assert left.value.code == 0
    assert "--dry-run" in capsys.readouterr().out


def test_configurations_lie_in_the_package():
    assert {path.parent for path in built_in().values()} == {
        Path(configuration.__file__).resolve().parents[1] / "configs"
    }
