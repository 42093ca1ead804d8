"""Hold the arguments that a user gave for a model."""

from dataclasses import dataclass
from typing import Any

from anomalib_cops.models.arguments import CommonArguments
from anomalib_cops.models.method import Method


@dataclass(frozen=True)
class Request:
    """A method and the arguments that were given for it.

    Attributes:
        method: the method.
        common: values of the arguments that all methods share.
        settings: values of those settings of the method that were given.
    """

    method: Method
    common: CommonArguments
    settings: dict[str, Any]
