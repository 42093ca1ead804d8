"""Errors that a user can act on."""

import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, ClassVar


class InputError(ValueError):
    """Something the user gave cannot be used; the message is one sentence: what, where, what to do.

    A DataLoader worker's error is raised again in the main process with the worker's traceback as its message; only
    the sentence is kept.

    Attributes:
        latest: the last sentence. Where a constructor raises, jsonargparse wraps the sentence in two hundred lines
            about the types that it tried; the command line uses this to find it again.
    """

    latest: ClassVar[str] = ""

    def __init__(self, message: str) -> None:
        super().__init__(message.strip().rsplit("InputError: ", 1)[-1])
        InputError.latest = str(self)


def exit_code(run: Callable[[], Any]) -> int:
    """What a command ends with.

    Returns:
        What ``run`` returns if that is a number, else 0; 2, and the sentence on stderr, where it raises InputError.
    """
    try:
        code = run()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return code if isinstance(code, int) else 0


def nearest(name: str, known: Iterable[str]) -> str:
    """The part of a message that suggests what was meant: "; did you mean 'x'?", or what is known."""
    options = list(known)
    folded = {option.lower(): option for option in options}
    close = get_close_matches(name.lower(), folded, n=3, cutoff=0.5)
    if close:
        return "; did you mean " + " or ".join(f"'{folded[match]}'" for match in close) + "?"
    return f"; known are {', '.join(sorted(options)[:20])}"
