"""Describe errors in one line."""

import traceback

from anomalib_cops.errors import InputError


def sentence(error: BaseException) -> str:
    """Return the message of an InputError; of any other error its type, first line and where it was raised."""
    if isinstance(error, InputError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].name}, line {frames[-1].lineno})" if frames else ""
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}{place}"
