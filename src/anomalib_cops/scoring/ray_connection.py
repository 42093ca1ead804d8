"""Connect to a Ray cluster, or start one on this machine, and leave it at the end."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anomalib_cops.errors import InputError

CONNECT_SECONDS = 5.0


@contextmanager
def connected(address: str | None, argument: str) -> Iterator[Any]:
    """Yield the package ``ray`` with a connection, which ends with the block; one that was there before stays.

    Args:
        address: of a running cluster, such as ``host:6379`` or ``ray://host:10001``; None starts one on this machine.
        argument: what messages call the address.

    Raises:
        InputError: nothing answers there, or Ray cannot connect.
    """
    import ray

    if ray.is_initialized():
        yield ray
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    check_address(address, argument)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address is None:
        options["include_dashboard"] = False
    # Ray replaces the handler and does not put it back.
    handler = signal.getsignal(signal.SIGTERM)
    try:
        try:
            # Without "local", Ray would join whatever cluster runs on this machine.
            ray.init(address=address or "local", **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(
                f"Ray cannot be reached at {address or 'this machine'} ({error}); check {argument}, and if the cluster "
                "asks for a token, copy it to ~/.ray/auth_token."
            ) from None
        yield ray
    finally:
        # This only disconnects from a cluster that was running before.
        ray.shutdown()
        signal.signal(signal.SIGTERM, handler)


def check_address(address: str | None, argument: str) -> None:
    """Refuse an address at which nothing answers; Ray itself would wait for many minutes.

    Raises:
        InputError: nothing answers there.
    """
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        except OSError as error:
            raise InputError(f"no Ray cluster answers at {address} ({error}); check {argument}.") from None


def offer_token() -> None:
    """Send Ray's token to a cluster, if this machine has one and the user did not decide otherwise.

    Clusters that ``ray start`` makes ask for it since Ray 2.53, but programs that join them do not send it by default;
    others ignore it. Call this before Ray is imported.
    """
    places = (os.environ.get("RAY_AUTH_TOKEN_PATH"), Path.home() / ".ray/auth_token")
    if os.environ.get("RAY_AUTH_TOKEN") or any(place and Path(place).is_file() for place in places):
        os.environ.setdefault("RAY_AUTH_MODE", "token")
