"""Make the models known to anomalib: under one name each, however anomalib is used."""

import sys
import warnings
from importlib import import_module

from anomalib_cops.registry import METHODS

DATAMODULES = {"ZeroShotTransfer": "anomalib_cops.data.transfer"}
PACKAGE = "anomalib_cops"
SHARED_BY_MODELS = "anomalib_cops.host.prompt_learning"


def register() -> None:
    """Put models and datamodules where anomalib looks for them; leave alone what is there already.

    anomalib finds models three ways: among the subclasses of ``AnomalibModule`` that are imported (bare names on the
    command line), as attributes of ``anomalib.models``, and by dotted path if the package is in a list of allowed ones.
    Datamodules are looked up in ``anomalib.data``. A name that anomalib has taken itself is left to anomalib.

    The start-up hook calls it when ``anomalib.models``, ``anomalib.data`` or anomalib's command line has been loaded;
    our own modules call it at their end, as one of them may be what loaded anomalib.
    """
    register_datamodules()
    models = sys.modules.get("anomalib.models")
    if models is not None and hasattr(models, "get_model") and _models_can_be_imported():
        for name, entry in METHODS.items():
            models.ALLOWED_MODULES.update({PACKAGE, entry.package.partition(".")[0]})
            _provide(models, name, entry.module)
    command_line = sys.modules.get("anomalib.cli.cli")
    if command_line is not None and hasattr(command_line, "main"):
        from anomalib_cops.host.command_line import adapted

        command_line.AnomalibCLI = adapted(command_line.AnomalibCLI)  # type: ignore[attr-defined]


def register_datamodules() -> None:
    """Put datamodules where anomalib looks for them, without importing any model."""
    data = sys.modules.get("anomalib.data")
    if hasattr(data, "get_datamodule"):
        for name, module in DATAMODULES.items():
            _provide(data, name, module)


def _models_can_be_imported() -> bool:
    """Tell whether what all models share is not just being imported; if it is, they register at their own end."""
    shared = sys.modules.get(SHARED_BY_MODELS)
    return shared is None or hasattr(shared, "PromptLearningMixin")


def _provide(host: object, name: str, module: str) -> None:
    """Make a class of ours an attribute of one of anomalib's packages."""
    present = getattr(host, name, None)
    if present is not None:
        if present.__module__ != module:
            # Two classes of one name would make the bare name ambiguous, so ours is not even imported.
            warnings.warn(
                f"anomalib has its own {name}; that of anomalib-cops is available as anomalib_cops.{name}.",
                stacklevel=3,
            )
        return
    loaded = sys.modules.get(module)
    if loaded is not None and not hasattr(loaded, name):
        # Our own module is being imported and has pulled in anomalib; it registers again when it is complete.
        return
    setattr(host, name, getattr(import_module(module), name))


def main() -> None:
    """Run anomalib's command line with the models registered: the console script ``anomalib-cops``."""
    from anomalib.cli.cli import main as anomalib_main

    register()
    anomalib_main()
