"""Register the models and datamodules with anomalib, each under one name."""

import sys
import warnings
from importlib import import_module

from anomalib_cops.registry import MODELS

DATAMODULES = {
    "UnlabelledImages": "anomalib_cops.data.unlabelled",
    "ZeroShotTransfer": "anomalib_cops.data.transfer",
}
PACKAGE = "anomalib_cops"
SHARED_BY_MODELS = "anomalib_cops.host.prompt_learning"


def register() -> None:
    """Add models and datamodules to the places where anomalib looks for them.

    anomalib finds models in three ways: among the imported subclasses of ``AnomalibModule`` (bare names on the command
    line), as attributes of ``anomalib.models``, and by dotted path if the package is in a list of allowed ones. It
    looks up datamodules in ``anomalib.data``. Names that anomalib itself uses are left as they are.

    The start-up hook calls this function when ``anomalib.models``, ``anomalib.data`` or anomalib's command line has
    been loaded. Our own modules call it at their end, since importing one of them may be what loaded anomalib. It may
    be called any number of times.
    """
    register_datamodules()
    models = sys.modules.get("anomalib.models")
    if models is not None and hasattr(models, "get_model") and _models_can_be_imported():
        for name, entry in MODELS.items():
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
    """Make one of our classes an attribute of one of anomalib's packages, unless the name is taken."""
    present = getattr(host, name, None)
    if present is not None:
        if present.__module__ != module:
            # Two classes of the same name would make the bare name ambiguous, so do not even import ours.
            warnings.warn(
                f"anomalib has its own {name}; that of anomalib-cops is available as anomalib_cops.{name}.",
                stacklevel=3,
            )
        return
    loaded = sys.modules.get(module)
    if loaded is not None and not hasattr(loaded, name):
        # Our own module is still being imported and has imported anomalib; it registers again at its end.
        return
    setattr(host, name, getattr(import_module(module), name))
