"""Whether there is a network, found out in seconds."""

import math
import os
import threading
import urllib.error
import urllib.request

from anomalib_cops.errors import InputError

SECONDS = "ANOMALIB_COPS_NETWORK_SECONDS"
"""Environment variable: how long a server may take to answer at all."""
DEFAULT_SECONDS = 3.0


def patience() -> float:
    """Seconds that a server may take to answer.

    Raises:
        InputError: the environment variable is no positive number.
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
    """Why a server cannot be used, as the end of a sentence about its address; empty if it answers at all.

    A thread bounds what a slow name look-up may take.
    """
    seconds, told = patience(), threading.Event()
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
        told.set()

    threading.Thread(target=ask, daemon=True).start()
    # A little longer, so that what the connection itself says of its time comes first.
    told.wait(seconds + 0.1)
    return problem
