"""What a user asked for when a model is made."""

from dataclasses import dataclass
from typing import Any

from anomalib_cops.models.arguments import CommonArguments
from anomalib_cops.models.method import Method


@dataclass(frozen=True)
class Request:
    """A method, and what was given for it.

    Attributes:
        method: which one.
        common: arguments of all methods.
        settings: those of the method's settings that were given.
    """

    method: Method
    common: CommonArguments
    settings: dict[str, Any]
