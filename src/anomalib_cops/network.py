"""Downloads that fail within seconds, and in words, where there is no network."""

import math
import os
import threading
import urllib.error
import urllib.request
from http.client import IncompleteRead
from pathlib import Path

from anomalib_cops.errors import InputError

SECONDS = "ANOMALIB_COPS_NETWORK_SECONDS"
"""Environment variable: seconds that a server may take to answer at all."""
DEFAULT_SECONDS = 3.0
"""Seconds that a server may take to answer, if the environment variable is not set."""
SILENT_SECONDS = 30.0
"""Seconds for which a download may receive nothing."""
CHUNK = 1 << 20
"""Bytes that are read at once."""


def patience() -> float:
    """Return the seconds that a server may take to answer.

    Raises:
        InputError: the environment variable is not a positive number.
    """
    given = os.environ.get(SECONDS) or DEFAULT_SECONDS
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise InputError(f"{SECONDS}='{given}' is no number of seconds; set it to a positive one, such as 20.")
    return seconds


def unreachable(address: str) -> str:
    """Return why a server does not answer, as the end of a sentence about its address; empty if it does.

    The request runs in a thread, as no timeout of its own bounds a slow name look-up.
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
    # Wait a little longer than the connection, so that its own account of a failure comes first.
    answered.wait(seconds + 0.1)
    return problem


def download(address: str, target: Path) -> None:
    """Write the file at an address to ``target``.

    Raises:
        OSError: saying, as part of a sentence, that the server does not answer, refuses, falls silent or stops halfway;
            ``target`` may then hold a part of the file.
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
        pass  # Newer Pythons report the missing bytes, which are counted below for all.
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise OSError(f"the download from {address} failed ({reason})") from None
    if expected and target.stat().st_size < int(expected):
        raise OSError(f"the download from {address} was cut off after {target.stat().st_size} of {expected} bytes")
