"""Hold the arguments that a user gave for a model."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from anomalib_cops.errors import InputError
from anomalib_cops.models.arguments import CommonArguments
from anomalib_cops.models.method import AUTO, Method


@dataclass(frozen=True)
class Request:
    """A method and the arguments that were given for it.

    Attributes:
        method: the method.
        common: values of the arguments that all methods share.
        settings: values of those settings of the method that were given.
        automatic: names of the settings that were given as "auto". A training chooses their numbers; before one, they
            have those of the weights, the preset or the default, as if they had not been given.
    """

    method: Method
    common: CommonArguments
    settings: dict[str, Any]
    automatic: frozenset[str] = frozenset()

    @classmethod
    def of(cls, method: Method, arguments: Mapping[str, Any]) -> "Request":
        """Sort arguments by name into common ones and settings; others are left out, as are settings that are None.

        Raises:
            InputError: another word than "auto" was given for a number that a training may choose.
        """
        names = [each.name for each in fields(CommonArguments)]
        common = {name: arguments[name] for name in names if name in arguments}
        settings = {
            name: value for name, value in arguments.items() if name in method.setting_names and value is not None
        }
        words = {name: settings[name] for name in sorted(method.automatic_names) if isinstance(settings.get(name), str)}
        for name, word in words.items():
            if word != AUTO:
                raise InputError(f"{method.name}: {name}='{word}' must be a number of at least 1, or 'auto'.")
        automatic = frozenset(words)
        numbers = {name: value for name, value in settings.items() if name not in automatic}
        return cls(method, CommonArguments(**common), numbers, automatic)
