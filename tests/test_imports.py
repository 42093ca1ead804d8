"""Test that imports run one way: each part of the package imports only from parts below it."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
PACKAGE = "anomalib_cops"
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (SOURCE / PACKAGE).rglob("*.py")
}
STANDARD = {*sys.stdlib_module_names, "__mp_main__"}
# For each part, the parts that it must not import. The package's name stands for its own __init__.
ABOVE = {
    "": ("command", "demo"),
    "plugin": ("inference", "scoring"),
    "errors": ("",),
    "images": ("encoder", "models", "data", "host", "weights", "metrics", "inference", "scoring", "demo", PACKAGE),
    "tiles": ("encoder", "models", "data", "host", "weights", "metrics", "inference", "scoring", "demo", PACKAGE),
    "thresholds": ("encoder", "models", "data", "host", "weights", "metrics", "inference", "scoring", "demo", PACKAGE),
    "graph_record": (
        "encoder",
        "models",
        "data",
        "host",
        "weights",
        "metrics",
        "inference",
        "scoring",
        "demo",
        PACKAGE,
    ),
    "machine": ("encoder", "models", "data", "host", "weights", "metrics", "inference", "scoring", "demo", PACKAGE),
    "files": ("",),
    "encoder": ("models", "images", "data", "host", "weights", "metrics", "scoring", "demo", PACKAGE),
    "prompts": ("encoder", "models", "data", "host", "weights", "metrics", "scoring", "demo", PACKAGE),
    "alignment": ("encoder", "models", "data", "host", "weights", PACKAGE),
    "losses": ("encoder", "models", "data", "host", "weights", PACKAGE),
    "weights": ("models", "data", "host", "metrics", "scoring", "demo", PACKAGE),
    "data": ("models", "host", "metrics", "weights", "scoring", "demo", PACKAGE),
    "metrics": ("models", "host", "weights", "scoring", "demo", PACKAGE),
    "host": ("inference", "scoring", "demo", PACKAGE),
    "inference": ("scoring", "demo", PACKAGE),
    "scoring": ("demo", PACKAGE),
}


def imported(module: str, path: Path) -> set[str]:
    """Return the package's modules that a module imports anywhere, also inside functions and for type checking."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively; name the module in full."
            # The name in "from package import name" may be a module or an attribute of the package.
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return {name for name in found if name in MODULES}


IMPORTS = {module: imported(module, path) for module, path in MODULES.items()}


def is_in(module: str, part: str) -> bool:
    if part == PACKAGE:
        return module == PACKAGE
    return module == f"{PACKAGE}.{part}" or module.startswith(f"{PACKAGE}.{part}." if part else PACKAGE)


@pytest.mark.parametrize("part", ABOVE)
def test_nothing_imports_what_stands_above_it(part: str) -> None:
    arrows = {
        f"{module} -> {target}"
        for module, targets in IMPORTS.items()
        if is_in(module, part)
        for target in targets
        if any(is_in(target, above) for above in ABOVE[part])
    }
    assert not arrows


def test_torch_models_run_without_the_host() -> None:
    arrows = {
        f"{module} -> {target}"
        for module, targets in IMPORTS.items()
        if is_in(module, "models") and not module.endswith(".lightning_model")
        for target in targets
        if is_in(target, "host")
    }
    assert not arrows


def test_no_modules_import_each_other_in_a_circle() -> None:
    # The package's __init__ imports public names lazily, so it closes no circle.
    try:
        TopologicalSorter({module: targets - {PACKAGE} for module, targets in IMPORTS.items()}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_walk_over_the_sources_sees_imports() -> None:
    assert f"{PACKAGE}.errors" in IMPORTS[f"{PACKAGE}.encoder.load"]
    assert f"{PACKAGE}.models.method" in IMPORTS[f"{PACKAGE}.models.cops.lightning_model"]


def test_files_stay_short() -> None:
    root = SOURCE.parent
    lengths = {
        path: len(path.read_text().splitlines())
        for folder in (SOURCE / PACKAGE, root / "benchmark")
        for path in folder.rglob("*.py")
    }
    assert not [f"{path.relative_to(root)} has {length} lines" for path, length in lengths.items() if length > 300]
    assert sorted(lengths.values())[len(lengths) // 2] <= 110


def test_the_package_holds_no_training_code_of_the_tiny_clip() -> None:
    assert [path.name for path in (SOURCE / PACKAGE / "encoder/tiny").glob("*.py")] == ["__init__.py"]
    wheel = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["only-include"] == ["src/anomalib_cops", "benchmark"]
    imports_tools = re.compile(r"^\s*(from|import) tools\b", re.MULTILINE)
    assert not [module for module, path in MODULES.items() if imports_tools.search(path.read_text())]


def newly_imported(before: str, code: str) -> set[str]:
    """Return the modules that ``code`` imports in a new process after ``before``, without the standard library's."""
    program = f"import sys; {before}; known = set(sys.modules); {code}; print(*sorted(set(sys.modules) - known))"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**os.environ, "ANOMALIB_COPS_AUTOLOAD": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return {name for name in run.stdout.splitlines()[-1].split() if name.partition(".")[0] not in STANDARD}


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_the_package_itself_imports_no_other_and_the_predictor_two() -> None:
    assert packages(newly_imported("pass", "import anomalib_cops; dir(anomalib_cops)")) == {PACKAGE}
    assert packages(newly_imported("pass", "from anomalib_cops import Predictor")) == {PACKAGE, "numpy", "PIL"}


def test_registering_imports_nothing_heavy_that_anomalib_has_not_imported() -> None:
    host = "import anomalib.cli.cli, anomalib.data, anomalib.engine, anomalib.models"
    modules = newly_imported(host, "from anomalib_cops.plugin import register; register()")
    assert f"{PACKAGE}.models.cops.lightning_model" in modules
    # anomalib's command line imports Lightning's, but later.
    assert {name for name in modules if not is_in(name, "")} - {"lightning.pytorch.cli"} == {
        name for name in modules if name.startswith("jaxtyping")
    }
