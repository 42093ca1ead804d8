"""Test the start-up hook and the registration with anomalib."""

import importlib.util
import os
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import pytest

from anomalib_cops import plugin
from anomalib_cops.errors import InputError
from anomalib_cops.host.command_line import adapted, instantiate, with_names_of_compressions
from anomalib_cops.registry import METHODS

HOOK = Path(__file__).parent.parent / "hook"


@pytest.fixture
def autoload(monkeypatch):
    """Load a fresh copy of the hook; remove what it added to the import system afterwards."""
    spec = importlib.util.spec_from_file_location("autoload_under_test", HOOK / "anomalib_cops_autoload.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    return module


@pytest.fixture
def watched(autoload, monkeypatch, tmp_path):
    """Make a package that the hook watches instead of anomalib."""
    (tmp_path / "watched_package.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(autoload, "WATCHED", ("watched_package",))
    monkeypatch.delitem(sys.modules, "watched_package", raising=False)
    yield autoload
    sys.modules.pop("watched_package", None)


def imported():
    return importlib.import_module("watched_package").value


def test_registers_after_the_watched_package_is_complete(watched, monkeypatch):
    seen = []
    monkeypatch.setattr(plugin, "register", lambda: seen.append(hasattr(sys.modules["watched_package"], "value")))
    watched.install()
    assert imported() == 1
    assert seen == [True]


def test_a_failing_registration_warns_once_and_lets_the_import_go_on(watched, monkeypatch):
    def fail():
        raise RuntimeError("broken")

    monkeypatch.setattr(plugin, "register", fail)
    watched.install()
    with pytest.warns(RuntimeWarning, match=r"could not register its models \(broken\)") as caught:
        assert imported() == 1
    assert len(caught) == 1


def test_opt_out(watched, monkeypatch):
    monkeypatch.setenv("ANOMALIB_COPS_AUTOLOAD", "0")
    monkeypatch.setattr(plugin, "register", lambda: pytest.fail("registered although switched off"))
    before = list(sys.meta_path)
    watched.install()
    assert sys.meta_path == before
    assert imported() == 1


def test_installing_twice_is_installing_once(autoload):
    before = len(sys.meta_path)
    autoload.install()
    autoload.install()
    assert len(sys.meta_path) == before + 1


def test_other_modules_are_not_touched(autoload):
    autoload.install()
    finder = sys.meta_path[0]
    assert finder.find_spec("json") is None
    assert finder.find_spec("anomalib.metrics") is None


def test_starting_python_imports_nothing_heavy():
    code = (
        "import os, sys; before = set(sys.modules); import anomalib_cops_autoload as a; a.install(); "
        "print(' '.join(sorted(set(sys.modules) - before)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(HOOK)}
    command = [sys.executable, "-S", "-c", code]
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["anomalib_cops_autoload"]


def test_pth_is_one_readable_line_and_start_names_the_same_function():
    (line,) = (HOOK / "anomalib_cops.pth").read_text().splitlines()
    assert line == "import anomalib_cops_autoload; anomalib_cops_autoload.install()"
    assert (HOOK / "anomalib_cops.start").read_text().strip() == "anomalib_cops_autoload:install"


def test_installed_distribution_owns_the_hook_so_that_uninstalling_removes_it():
    owned = {file.name for file in metadata.files("anomalib-cops") or []}
    assert {"anomalib_cops.pth", "anomalib_cops.start", "anomalib_cops_autoload.py"} <= owned
    scripts = {entry.name: entry.value for entry in metadata.entry_points(group="console_scripts")}
    assert scripts["anomalib-cops"] == "anomalib_cops.command:main"


def test_names_that_the_host_has_taken_are_left_alone(monkeypatch):
    host = types.SimpleNamespace(CoPS=type("CoPS", (), {"__module__": "anomalib.models.cops"}))
    theirs = host.CoPS
    with pytest.warns(UserWarning, match="anomalib has its own CoPS"):
        plugin._provide(host, "CoPS", METHODS["CoPS"].module)
    assert host.CoPS is theirs


def test_a_half_imported_module_of_ours_is_left_until_it_is_complete(monkeypatch):
    host = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "half_imported", types.ModuleType("half_imported"))
    plugin._provide(host, "CoPS", "half_imported")
    assert not hasattr(host, "CoPS")


def command_line_that_raises(error: Exception) -> type:
    class CommandLine:
        def __init__(self):
            raise error

    return adapted(CommandLine)


def test_bad_input_is_one_sentence_on_the_command_line_and_other_errors_are_shown_as_before():
    with pytest.raises(SystemExit, match="error: the file is broken; get it again."):
        command_line_that_raises(InputError("the file is broken; get it again."))()
    with pytest.raises(KeyError, match="x"):
        command_line_that_raises(KeyError("x"))()


def test_a_model_that_refuses_its_arguments_is_not_wrapped_by_the_parser():
    class Model:
        def __init__(self, **arguments):
            raise InputError("sigma=-1 must be at least 0.") if arguments else ValueError("a bug")

    with pytest.raises(SystemExit, match="error: sigma=-1 must be at least 0."):
        instantiate(Model, sigma=-1)
    with pytest.raises(ValueError, match="a bug"):
        instantiate(Model)


def test_a_compression_may_be_named_as_python_calls_it():
    words = ["anomalib", "export", "--compression_type", "int8_ptq", "--export_type", "openvino"]
    assert with_names_of_compressions(words)[2:] == ["--compression_type", "INT8_PTQ", "--export_type", "openvino"]
    assert with_names_of_compressions(["--compression_type=fp16"]) == ["--compression_type=FP16"]


def test_the_command_line_is_adapted_once():
    cli = adapted(type("CommandLine", (), {}))
    assert adapted(cli) is cli


@pytest.mark.parametrize(("kind", "said"), [("missing", "does not exist"), ("empty", "Found 0 images")])
def test_a_prediction_without_images_is_one_sentence(tmp_path, kind, said):
    from anomalib.data import PredictDataset

    folder = tmp_path / kind
    if kind == "empty":
        folder.mkdir()

    class CommandLine:
        def __init__(self):
            PredictDataset(folder)

    with pytest.raises(SystemExit) as caught:
        adapted(CommandLine)()
    sentence = str(caught.value)
    assert sentence.startswith("error: ") and said in sentence and str(folder) in sentence
    assert "give an image or a folder" in sentence


def test_every_route_of_the_host_finds_the_models():
    import anomalib.data
    import anomalib.models
    from anomalib.models import list_models
    from anomalib.models.components import AnomalibModule

    from anomalib_cops import CoPS, ZeroShotTransfer

    plugin.register()
    assert anomalib.models.CoPS is CoPS
    assert anomalib.data.ZeroShotTransfer is ZeroShotTransfer
    assert "anomalib_cops" in anomalib.models.ALLOWED_MODULES
    assert "co_p_s" in list_models()
    assert CoPS in AnomalibModule.__subclasses__()


GET_MODEL = "from anomalib.models import get_model; m = get_model('cops', backbone='tiny')"


@pytest.mark.parametrize(
    ("code", "hook"),
    [
        (GET_MODEL, "1"),
        (f"from anomalib_cops import CoPS; {GET_MODEL}", "1"),
        (
            "from anomalib.data import ZeroShotTransfer; import anomalib.models as a; m = a.get_model("
            "{'class_path': 'anomalib_cops.CoPS', 'init_args': {'backbone': 'tiny'}})",
            "1",
        ),
        (f"from anomalib_cops import ZeroShotTransfer, CoPS; {GET_MODEL}", "0"),
        (f"import anomalib_cops.host.prompt_learning; from anomalib_cops import CoPS; {GET_MODEL}", "0"),
        (f"import anomalib_cops.host.feature_cache; from anomalib_cops import AdaCLIP; {GET_MODEL}", "0"),
        (f"import anomalib.cli.cli; from anomalib_cops.plugin import register; register(); {GET_MODEL}", "0"),
    ],
    ids=[
        "anomalib first",
        "ours first",
        "data first",
        "no hook, ours first",
        "no hook, inner first",
        "no hook, cache first",
        "no hook, console script",
    ],
)
def test_fresh_interpreters_find_the_model_in_any_import_order(code, hook):
    code += "; assert type(m).__module__.startswith('anomalib_cops'), type(m)"
    environment = {**os.environ, "ANOMALIB_COPS_AUTOLOAD": hook}
    command = [sys.executable, "-W", "ignore", "-c", code]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
