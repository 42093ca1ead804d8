"""Test how the benchmark is packaged: it has two names, and the package does not depend on it."""

import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from benchmark import cli

ROOT = Path(__file__).parents[2]


def test_the_installed_name_is_a_link_to_the_checkout():
    assert (ROOT / "src/anomalib_cops_benchmark").resolve() == ROOT / "benchmark"


def test_the_console_script_leads_somewhere(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "src"))
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["cops-benchmark"].partition(":")
    with pytest.raises(SystemExit) as left:
        getattr(import_module(module), function)(["--help"])
    assert left.value.code == 0 and "report" in capsys.readouterr().out


MODULES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "benchmark").rglob("*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_the_benchmark_names_itself_relatively(name):
    assert not re.findall(r"^\s*(?:from|import) benchmark\b", (ROOT / name).read_text(), flags=re.MULTILINE)


PACKAGES = ("plan", "records", "measure", "run")


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        *((package, PACKAGES[: place + 1]) for place, package in enumerate(PACKAGES)),
        ("report", ("plan", "records", "report")),
        ("speed", ("plan", "measure", "speed")),
    ],
)
def test_imports_run_one_way(package, allowed):
    forbidden = {*PACKAGES, "report", "speed", "cli"} - {*allowed}
    for path in (ROOT / "benchmark" / package).rglob("*.py"):
        assert not set(re.findall(r"^\s*from \.\.(\w+)", path.read_text(), re.MULTILINE)) & forbidden, path


@pytest.mark.parametrize(
    ("typed", "name"),
    [("/usr/bin/cops-benchmark", "cops-benchmark"), ("/home/me/benchmark/__main__.py", "python -m benchmark")],
)
def test_help_calls_the_program_as_it_was_typed(monkeypatch, capsys, typed, name):
    monkeypatch.setattr(sys, "argv", [typed])
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert f"usage: {name} " in capsys.readouterr().out


def test_the_package_does_not_know_the_benchmark():
    for path in (ROOT / "src/anomalib_cops").rglob("*.py"):
        assert not re.findall(r"^\s*(?:from|import) (?:anomalib_cops_)?benchmark\b", path.read_text(), re.MULTILINE)


def test_a_missing_package_is_one_sentence(monkeypatch, capsys):
    def missing(name, package):
        raise ModuleNotFoundError("No module named 'jinja2'", name="jinja2")

    monkeypatch.setattr(cli, "import_module", missing)
    assert cli.main(["table"]) == 2
    assert "pip install 'anomalib-cops[benchmark]'" in capsys.readouterr().err
