"""Errors that a user can act on."""

import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any


class InputError(ValueError):
    """Report input that cannot be used, in one sentence: what is wrong, where, what to do.

    torch raises an error of a DataLoader worker again in the main process, with the worker's traceback in the message;
    only the sentence is kept.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.strip().rsplit("InputError: ", 1)[-1])


def exit_code(run: Callable[[], Any]) -> int:
    """Run a command and return its exit code.

    Returns:
        The number that ``run`` returns, or 0 if it returns something else. If it raises InputError, 2; the message is
        printed to stderr.
    """
    try:
        code = run()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return code if isinstance(code, int) else 0


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: "; did you mean 'x'?", or the list of known names."""
    options = list(known)
    folded = {option.lower(): option for option in options}
    close = get_close_matches(name.lower(), folded, n=3, cutoff=0.5)
    if close:
        return "; did you mean " + " or ".join(f"'{folded[match]}'" for match in close) + "?"
    return f"; known are {', '.join(sorted(options)[:20])}"
