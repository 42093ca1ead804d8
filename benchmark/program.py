"""Name the program as the user started it, for help and hints."""

import sys
from pathlib import Path

INSTALLED = "cops-benchmark"


def program() -> list[str]:
    """Return the words that start this program: ``cops-benchmark``, or ``python -m`` and the name of this package."""
    if Path(sys.argv[0]).name.startswith(INSTALLED):
        return [INSTALLED]
    return ["python", "-m", str(__package__)]
