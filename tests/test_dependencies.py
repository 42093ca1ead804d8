"""Test that imported packages are declared, and that those declared for developers are installed."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"anomalib_cops", "anomalib_cops_benchmark", "benchmark", "tests", "tools", "typecheck"}
PARTS = {
    "src/anomalib_cops": ("demo", "export", "ray", "score"),
    "benchmark": ("benchmark", "ray"),
    "tests": ("dev",),
    "tools": ("dev",),
}
"""Folders, and the extras that their modules need to be imported."""


def names(requirements: list[str]) -> Iterator[str]:
    """Return the required distributions, including those of the package's own extras."""
    for requirement in requirements:
        name, extras = re.match(r"([\w-]+)(?:\[([\w,]+)\])?", requirement).groups()
        if name == PROJECT["name"]:
            for extra in extras.split(","):
                yield from names(PROJECT["optional-dependencies"][extra])
        else:
            yield name.lower().replace("_", "-")


def declared(*extras: str) -> set[str]:
    optional = PROJECT["optional-dependencies"]
    return set(names([*PROJECT["dependencies"], *(each for extra in extras for each in optional[extra])]))


def imported(folder: Path) -> Iterator[tuple[str, str]]:
    """Return the module and file of every import from another package."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            for module in (module.partition(".")[0] for module in modules):
                if module not in OWN and module not in sys.stdlib_module_names:
                    yield module, path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("folder", PARTS)
def test_what_is_imported_is_declared(folder: str) -> None:
    known, owners = declared(*PARTS[folder]), metadata.packages_distributions()
    undeclared = {
        f"{path} imports {module}"
        for module, path in imported(ROOT / folder)
        if not known & {owner.lower().replace("_", "-") for owner in owners.get(module, [])}
    }
    assert not undeclared


def test_tests_run_with_everything_that_the_extras_bring() -> None:
    everything = declared(*PROJECT["optional-dependencies"])
    assert declared("dev") == everything
    for name in everything:
        metadata.version(name)
