"""Checkpoints of the official implementations: read without running code, renamed, checked key by key."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anomalib_cops.errors import InputError
from anomalib_cops.weights.format import check_finite

SUFFIXES = (".pth", ".pt")
Shapes = Mapping[str, tuple[int, ...]]


def _nothing(ours: Mapping[str, Tensor]) -> Shapes:
    return {}


@dataclass(frozen=True)
class KeyMap:
    """Where the tensors of an official checkpoint go, as data.

    Attributes:
        entry: key of the dictionary that holds the tensors; empty if the file is that dictionary.
        renamed: our name or prefix of it → the official one.
        stacked: our name → official tensors of the normal and the anomalous state.
        optional: prefixes of ours that the official code does not save.
        unused: from our tensors to names and shapes that the official code saves and never uses.
    """

    entry: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)
    stacked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    unused: Callable[[Mapping[str, Tensor]], Shapes] = _nothing

    def names(self, ours: str) -> tuple[str, ...]:
        """Official tensors behind one of ours: two for what is stacked by state, else one.

        Raises:
            KeyError: nothing official is known for it.
        """
        if ours in self.stacked:
            return self.stacked[ours]
        for prefix, official in self.renamed.items():
            if ours.startswith(prefix):
                return (official + ours.removeprefix(prefix),)
        raise KeyError(ours)


def read_official(path: Path, keys: KeyMap, method: str) -> dict[str, Tensor]:
    """Tensors of an official checkpoint by official name; dictionaries within it are joined with dots.

    Raises:
        InputError: missing, unreadable, with pickled code, with NaN, or something else than such a checkpoint.
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
    """Rename and reshape an official checkpoint's tensors.

    Args:
        official: the file's tensors.
        expected: our trained tensors, for names and shapes.
        keys: which is which.
        source: the file, for messages.

    Returns:
        Ours by name; what the official code does not save is left out where the file lacks it.

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
    """Sizes without the ones that official code puts around them."""
    return [size for size in shape if size != 1]


def _shown(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
