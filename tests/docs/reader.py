"""Run commands and snippets in separate processes as a reader would, with tiny models.

Importing anomalib takes longer than most commands, so processes are forked from one that has imported it. They get what
an installed program gets: arguments, a working folder, and a terminal, which is a file here.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path

from tests.docs.pages import ROOT

SECONDS = 300
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["anomalib.cli.cli", "anomalib_cops"])


@dataclass(frozen=True)
class Outcome:
    """Result of a command or snippet.

    Attributes:
        code: exit status; None if it ran too long and was killed.
        shown: everything that was printed.
    """

    code: int | None
    shown: str

    @property
    def sound(self) -> bool:
        """Whether it exited with 0 and printed no traceback."""
        return self.code == 0 and "Traceback" not in self.shown


def type_command(words: Sequence[str], folder: Path, home: Path) -> Outcome:
    """Run a console script, or ``python -m``, in a folder."""
    return _forked(_run_program, (list(words),), folder, home)


def type_snippet(code: str, folder: Path, home: Path) -> Outcome:
    """Run Python code in a folder."""
    return _forked(_run_code, (code,), folder, home)


def type_for_real(words: Sequence[str], folder: Path, home: Path) -> Outcome:
    """Run an installed program as a shell does, with the default models."""
    program = Path(sys.executable).with_name(words[0])
    # Fix the terminal's width, which programs would otherwise take from the shell that started the tests.
    environment = {**os.environ, "TORCH_HOME": str(home), "COLUMNS": "120"}
    run = subprocess.run(
        [program, *words[1:]], cwd=folder, env=environment, text=True, capture_output=True, timeout=SECONDS, check=False
    )
    return Outcome(run.returncode, run.stdout + run.stderr)


def _forked(run: Callable[..., object], arguments: tuple[object, ...], folder: Path, home: Path) -> Outcome:
    terminal = folder / ".terminal"
    process = _server.Process(target=_at_the_keyboard, args=(run, arguments, folder, home, terminal))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        return Outcome(None, terminal.read_text())
    return Outcome(process.exitcode, terminal.read_text())


def _at_the_keyboard(run: Callable[..., object], arguments: tuple, folder: Path, home: Path, terminal: Path) -> None:
    with terminal.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    os.environ |= {"TORCH_HOME": str(home), "COLUMNS": "120"}
    sys.path.insert(0, str(ROOT))  # so that the checkout's own modules can be run
    _use_tiny_models()
    try:
        sys.exit(run(*arguments))
    except Exception:
        # Do as the interpreter does, since a process of multiprocessing does not.
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        sys.exit(1)


def _use_tiny_models() -> None:
    """Make the stand-in the default backbone, and accept published checkpoints that fit it."""
    from anomalib_cops.models import assembly
    from anomalib_cops.weights import published

    assembly.DEFAULT_BACKBONE = "tiny"
    for entries in published.PUBLISHED.values():
        entries.update({name: replace(entry, digest="", size=0) for name, entry in entries.items()})


def _run_program(words: list[str]) -> object:
    program, *arguments = words
    if program == "python":
        option, module, *arguments = arguments
        assert option == "-m", words
        sys.argv = [module, *arguments]
        return runpy.run_module(module, run_name="__main__", alter_sys=True) and 0
    (script,) = entry_points(group="console_scripts", name=program)
    sys.argv = [program, *arguments]
    return script.load()()


def _run_code(code: str) -> int:
    exec(compile(code, "snippet.py", "exec"), {"__name__": "__main__"})  # noqa: S102 (our own page)
    return 0
