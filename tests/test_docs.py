"""Test that the documentation matches the code."""

import inspect
import re
import shutil
from pathlib import Path

import pytest

import anomalib_cops
from anomalib_cops.models.cops.settings import PRESETS, CoPSSettings
from anomalib_cops.plugin import DATAMODULES
from anomalib_cops.registry import MODELS
from tests.models.cases import method
from tools import tables

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def arguments(cls):
    return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]


@pytest.mark.parametrize("name", [name for name in anomalib_cops.__all__ if name != "__version__"])
def test_public_names_are_documented(name):
    assert any(f"`{name}`" in page.read_text() for page in DOCS.glob("*.md"))


@pytest.mark.parametrize("name", [*MODELS, *DATAMODULES])
def test_every_argument_is_documented(name):
    text = (DOCS / "data.md").read_text()
    if name in MODELS:
        sections = re.split(r"^## ", (DOCS / "models.md").read_text(), flags=re.MULTILINE)
        headings = (name, "Arguments of all models")
        text = "".join(each for each in sections if each.splitlines()[0].replace("-", "") in headings)
    cls = getattr(anomalib_cops, name)
    assert not [name for name in arguments(cls) if f"`{name}`" not in text and f"`{name}=" not in text]


@pytest.mark.parametrize("name", MODELS)
def test_every_argument_has_a_docstring_entry_and_every_setting_is_an_argument(name):
    cls = getattr(anomalib_cops, name)
    documented = set(re.findall(r"^\s+(\w+): ", inspect.getdoc(cls), flags=re.MULTILINE))
    assert set(arguments(cls)) <= documented
    assert method(name).setting_names <= set(arguments(cls))


@pytest.mark.parametrize("name", MODELS)
def test_every_method_has_a_page_with_a_picture(name):
    page = Path(inspect.getfile(getattr(anomalib_cops, name))).parent / "README.md"
    (picture,) = re.findall(r"!\[.*?\]\((.*?)\)", page.read_text())
    assert (page.parent / picture).is_file()


@pytest.mark.parametrize(
    "option",
    [
        *("min_max_over", "noise", "all_pairs_reconstruction", "reflip_levels", "cross_prototypes"),
        *("half_deep_prompts", "local_feed_forward", "local_weight", "quick_gelu", "use_global"),
        *("clustering", "dice_over", "half_prompts"),
    ],
)
def test_every_official_quirk_is_listed(option):
    assert f"`{option}=" in (DOCS / "differences.md").read_text()


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_table_has_the_values_of_the_code(preset):
    (row,) = re.findall(rf"^\| `{preset}` \|.*$", (DOCS / "differences.md").read_text(), flags=re.MULTILINE)
    cells = [cell.strip() for cell in row.strip("|").split("|")][2:]
    values = PRESETS[preset]
    expected = [values["neighbourhood"], values["reconstruction"], values["alpha"], values["beta"], values["epochs"]]
    assert cells == ["on" if value is True else "off" if value is False else str(value) for value in expected]


def test_defaults_in_the_settings_are_those_of_the_default_preset():
    settings = CoPSSettings()
    values = {name: value for name, value in PRESETS["default"].items() if name not in ("epochs", "learning_rate")}
    assert {name: getattr(settings, name) for name in values} == values


def test_links_between_pages_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md"), *ROOT.glob("src/**/README.md")]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_generated_tables_are_fresh(capsys):
    assert tables.main(["--check"]) == 0, capsys.readouterr().out


def test_a_changed_figure_makes_the_table_stale(tmp_path, monkeypatch):
    (tmp_path / "docs/results").mkdir(parents=True)
    pages = ("benchmark.md", "models.md", "speed.md", "score.md", "large-images.md")
    for page in (
        *pages,
        "results/speed.json",
        "results/precision.json",
        "results/references.json",
        "results/tiles.json",
    ):
        shutil.copy(ROOT / "docs" / page, tmp_path / "docs" / page)
    shutil.copytree(ROOT / "benchmark/results/cells", tmp_path / "benchmark/results/cells")
    source = (ROOT / "docs/results/demo.json").read_text()
    for page in ("README.md", "docs/datasets.md"):
        (tmp_path / page).write_text((ROOT / page).read_text())
    (tmp_path / "docs/results/demo.json").write_text(re.sub(r'"I-AUROC": 0\.(\d)', r'"I-AUROC": 0.0\1', source))
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    assert tables.main(["--check"]) == 1
    assert tables.main([]) == 0
    assert tables.main(["--check"]) == 0
    (cell, *_) = (tmp_path / "benchmark/results/cells/cops").rglob("*synthetic--synthetic*.json")
    cell.write_text(re.sub(r'"I-AUROC": 0\.(\d)', r'"I-AUROC": 0.0\1', cell.read_text()))
    assert tables.main(["--check"]) == 1
