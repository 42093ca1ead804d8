"""Making the models known to anomalib: one name each, however anomalib is used."""

import sys
import warnings
from importlib import import_module
from types import TracebackType

MODELS = {
    "AdaCLIP": "anomalib_cops.models.ada_clip.lightning_model",
    "AnomalyCLIP": "anomalib_cops.models.anomaly_clip.lightning_model",
    "CoPS": "anomalib_cops.models.cops.lightning_model",
    "VCPCLIP": "anomalib_cops.models.vcp_clip.lightning_model",
}
DATAMODULES = {"ZeroShotTransfer": "anomalib_cops.data.transfer"}
PACKAGE = "anomalib_cops"
IMAGE_LOOKUPS = ("anomalib.data.utils.image", "anomalib.data.utils.path")


def register() -> None:
    """Put models and datamodules where anomalib looks for them; does nothing for what is there already.

    anomalib finds models three ways: among the subclasses of ``AnomalibModule`` that are imported (bare names on the
    command line), as attributes of ``anomalib.models``, and by dotted path if the package is in a list of allowed ones.
    Datamodules are looked up in ``anomalib.data``. A name that anomalib has taken itself is left to anomalib.

    It is called when ``anomalib.models``, ``anomalib.data`` or anomalib's command line has been loaded, and at the end
    of our own modules, which may be what loaded them.
    """
    models, data = sys.modules.get("anomalib.models"), sys.modules.get("anomalib.data")
    if hasattr(data, "get_datamodule"):
        for name, home in DATAMODULES.items():
            _provide(data, name, home)
    if models is not None and hasattr(models, "get_model"):
        models.ALLOWED_MODULES.add(PACKAGE)
        for name, home in MODELS.items():
            _provide(models, name, home)
    command_line = sys.modules.get("anomalib.cli.cli")
    if command_line is not None and hasattr(command_line, "main"):
        from anomalib_cops.host.command_line import checkpoint_aware

        command_line.AnomalibCLI = checkpoint_aware(command_line.AnomalibCLI)  # type: ignore[attr-defined]
        show_sentences()


def _provide(host: object, name: str, home: str) -> None:
    present = getattr(host, name, None)
    if present is not None:
        if not present.__module__.startswith(PACKAGE):
            # Two classes of one name would make the bare name ambiguous, so ours is not even imported.
            warnings.warn(
                f"anomalib has its own {name}; that of anomalib-cops is available as anomalib_cops.{name}.",
                stacklevel=3,
            )
        return
    module = sys.modules.get(home)
    if module is not None and not hasattr(module, name):
        # Our own module is being imported and has pulled in anomalib; it registers again when it is complete.
        return
    setattr(host, name, getattr(import_module(home), name))


def show_sentences() -> None:
    """Print what is wrong with the user's input as one sentence; all other errors are shown as before.

    That is an uncaught InputError, and what anomalib itself says of a prediction's images that are not there.
    """
    previous = sys.excepthook
    if getattr(previous, "__module__", None) == __name__:
        return

    def show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        from anomalib_cops.errors import InputError

        if InputError.latest and InputError.latest in str(error):
            print(f"error: {InputError.latest}", file=sys.stderr)
        elif isinstance(error, (ValueError, OSError)) and _raised_in(traceback) in IMAGE_LOOKUPS:
            print(f"error: {error}; give an image or a folder with images.", file=sys.stderr)
        else:
            previous(kind, error, traceback)

    sys.excepthook = show


def _raised_in(traceback: TracebackType | None) -> str | None:
    """Name of the module that raised."""
    name = None
    while traceback is not None:
        name, traceback = traceback.tb_frame.f_globals.get("__name__"), traceback.tb_next
    return name


def main() -> None:
    """Console script ``anomalib-cops``: anomalib's command line with the models registered."""
    from anomalib.cli.cli import main as anomalib_main

    register()
    anomalib_main()
