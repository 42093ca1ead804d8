"""Download files; without a network, fail within seconds and with a clear message."""

import math
import os
import threading
import urllib.error
import urllib.request
from http.client import IncompleteRead
from pathlib import Path

from anomalib_cops.errors import InputError

SECONDS = "ANOMALIB_COPS_NETWORK_SECONDS"
"""Environment variable with the seconds that a server may take to answer."""
DEFAULT_SECONDS = 3.0
"""Seconds that a server may take to answer, if the environment variable is not set."""
SILENT_SECONDS = 30.0
"""Seconds for which a download may receive nothing."""
CHUNK = 1 << 20
"""Bytes to read at once."""


def patience() -> float:
    """Return how many seconds a server may take to answer.

    Raises:
        InputError: the environment variable is not a positive number.
    """
    value = os.environ.get(SECONDS) or DEFAULT_SECONDS
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise InputError(f"{SECONDS}='{value}' is no number of seconds; set it to a positive one, such as 20.")
    return seconds


def unreachable(address: str) -> str:
    """Return why a server does not answer, as the end of a sentence that starts with its address; empty if it answers.

    Send the request in a thread, since urllib's timeout does not limit a slow name look-up.
    """
    seconds, answered = patience(), threading.Event()
    slow = f"gave no answer within {seconds:g} seconds (a slow proxy needs a larger {SECONDS})"
    problem = slow

    def ask() -> None:
        nonlocal problem
        try:
            with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=seconds):
                problem = ""
        except urllib.error.HTTPError as error:
            error.close()
            problem = ""
        except OSError as error:
            reason = getattr(error, "reason", error)
            problem = slow if isinstance(reason, TimeoutError) else f"cannot be reached ({reason})"
        answered.set()

    threading.Thread(target=ask, daemon=True).start()
    # Wait a little longer than the request's own timeout, so that its error message is preferred.
    answered.wait(seconds + 0.1)
    return problem


def download(address: str, target: Path) -> None:
    """Write the file at an address to ``target``.

    Raises:
        OSError: the server does not answer, refuses, stops sending or cuts the file off. The message is part of a
            sentence, and ``target`` may hold a part of the file.
    """
    if problem := unreachable(address):
        raise OSError(f"{address} {problem}")
    expected = None
    try:
        with urllib.request.urlopen(address, timeout=SILENT_SECONDS) as answer, target.open("wb") as file:
            expected = answer.headers.get("Content-Length")
            while chunk := answer.read(CHUNK):
                file.write(chunk)
    except urllib.error.HTTPError as error:
        error.close()
        raise OSError(f"{address} answers {error.code} {error.reason}") from None
    except IncompleteRead:
        pass  # Only newer versions of Python raise this, so the missing bytes are counted below.
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise OSError(f"the download from {address} failed ({reason})") from None
    if expected and target.stat().st_size < int(expected):
        raise OSError(f"the download from {address} was cut off after {target.stat().st_size} of {expected} bytes")
