"""Import OpenVINO, and NNCF, which is built on it, in a way that is safe beside everything else in a process."""

from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any


def import_openvino(package: str = "openvino") -> Any:
    """Import a package, and let nothing that OpenVINO does in this process be reported.

    By default, OpenVINO and NNCF tell a server of every import, conversion and quantisation. Each report is sent by a
    fork of this process, threads and gigabytes included, which costs seconds where there is no network.

    Args:
        package: of OpenVINO, or ``nncf``.

    Raises:
        ImportError: the package is not installed.
    """
    # It may be loaded already, by anomalib's command line or by the user.
    with suppress(ImportError):
        import_module("openvino_telemetry.backend.backend_ga4").GA4Backend.send = _send_nothing
    return import_module(package)


@cache
def openvino_core() -> Any:
    """Return the ``openvino.Core`` by which this process reads and runs graphs; it is never freed.

    Every core that compiles for a processor gives the process another stack to handle signals on, and puts the stack
    before it back when it is freed. If two cores are not freed in the reverse order, a stack stays in use that is gone,
    and the next signal, such as Ctrl-C or the end of a child, ends the process without a word (seen with 2026.4.1).

    Raises:
        ImportError: OpenVINO is not installed.
    """
    return import_openvino().Core()


def _send_nothing(*_: Any) -> None:
    """Take the place of what sends a report."""
