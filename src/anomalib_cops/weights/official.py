"""Read checkpoints of the official implementations without running code from them, and rename their tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anomalib_cops.errors import InputError
from anomalib_cops.tensors import check_finite

SUFFIXES = (".pth", ".pt")
"""File name endings of official checkpoints."""
Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of tensors by name."""


def _nothing(ours: Mapping[str, Tensor]) -> Shapes:
    return {}


@dataclass(frozen=True)
class KeyMap:
    """How the tensors of a method's official checkpoints are named, and what corresponds to them here.

    Attributes:
        entry: key under which the file holds its dictionary of tensors; empty if the file is that dictionary.
        renamed: our name, or a prefix of it → the official name or prefix.
        stacked: our name → official names of the tensors of the normal and the anomalous state, which we stack.
        optional: prefixes of our tensors that the official code does not save.
        unused: function of our tensors that returns names and shapes which the official code saves and never uses.
    """

    entry: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)
    stacked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    unused: Callable[[Mapping[str, Tensor]], Shapes] = _nothing

    def names(self, ours: str) -> tuple[str, ...]:
        """Return the official names of one of our tensors: two if we stack the states, else one.

        Raises:
            KeyError: no official name is known.
        """
        if ours in self.stacked:
            return self.stacked[ours]
        for prefix, official in self.renamed.items():
            if ours.startswith(prefix):
                return (official + ours.removeprefix(prefix),)
        raise KeyError(ours)


def read_official(path: Path, keys: KeyMap, method: str) -> dict[str, Tensor]:
    """Return the tensors of an official checkpoint by official name; keys of nested dictionaries are joined with dots.

    Args:
        path: the checkpoint.
        keys: names of the method's tensors.
        method: name of the model class, for messages.

    Raises:
        InputError: the file is missing, unreadable or not such a checkpoint, or holds pickled code or NaN.
    """
    if not path.is_file():
        raise InputError(f"The weight file {path} does not exist; check the path given as weights.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        raise InputError(f"{path} is corrupted or holds pickled code, which is refused; get it again.") from None
    if keys.entry:
        content = content.get(keys.entry) if isinstance(content, dict) else None
    tensors = dict(_flat(content)) if isinstance(content, dict) else {}
    if not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        where = f"no entry '{keys.entry}' with tensors" if keys.entry else "not a dictionary of tensors"
        raise InputError(f"{path} is not an official {method} checkpoint: it has {where}.")
    check_finite(tensors, str(path))
    return tensors


def _flat(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in content.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return found


def from_official(
    official: Mapping[str, Tensor], expected: Mapping[str, Tensor], keys: KeyMap, source: str
) -> dict[str, Tensor]:
    """Rename and reshape the tensors of an official checkpoint.

    Args:
        official: tensors of the file.
        expected: our trained tensors, which give names and shapes.
        keys: names of the method's tensors.
        source: path of the file, for messages.

    Returns:
        Tensors by our names. Optional ones that the file lacks are left out.

    Raises:
        InputError: listing keys that are missing, unknown or of another shape.
    """
    result: dict[str, Tensor] = {}
    unused = keys.unused(expected)
    used = set(unused)
    missing = [name for name in unused if name not in official]
    misshapen = [name for name, shape in unused.items() if name in official and official[name].shape != shape]
    for name, ours in expected.items():
        names = keys.names(name)
        absent = [each for each in names if each not in official]
        if absent and name.startswith(keys.optional):
            continue
        used.update(names)
        missing += absent
        if absent:
            continue
        parts = [official[each].float() for each in names]
        whole = torch.stack(parts) if name in keys.stacked else parts[0]
        if _significant(whole.shape) != _significant(ours.shape):
            misshapen += names
            continue
        result[name] = whole.reshape(ours.shape)
    unknown = sorted(set(official) - used)
    problems = {"missing": missing, "unknown": unknown, "of another shape": misshapen}
    if any(problems.values()):
        told = "; ".join(f"{what}: {_shown(names)}" for what, names in problems.items() if names)
        raise InputError(f"{source} does not fit this model ({told}); check backbone and sizes.")
    return result


def _significant(shape: torch.Size) -> list[int]:
    """Return a shape without its axes of size 1, which the official code adds in places."""
    return [size for size in shape if size != 1]


def _shown(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
