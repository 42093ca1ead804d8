"""Check settings that several methods share, with the same error messages."""

from collections.abc import Mapping, Sequence

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.errors import InputError

Rules = Mapping[str, tuple[bool, str]]
"""For each value's name: whether it is allowed, and the words that describe what is allowed."""


def check_values(method: str, values: Mapping[str, object], rules: Rules) -> None:
    """Refuse values that break a rule.

    Raises:
        InputError: a rule does not hold; the message names the first such value and what is allowed.
    """
    for name, (holds, allowed) in rules.items():
        if not holds:
            raise InputError(f"{method}: {name}={values[name]} must be {allowed}.")


def check_deep_depth(method: str, clip: FrozenCLIP, deep_depth: int) -> None:
    """Refuse more sets of deep prompts than text blocks that can take them; the first block takes none.

    Raises:
        InputError: the text tower has too few blocks.
    """
    if deep_depth >= clip.text_depth:
        raise InputError(
            f"{method}: deep_depth={deep_depth} does not fit the {clip.text_depth} text blocks of '{clip.name}'; "
            f"use at most {clip.text_depth - 1}."
        )


def check_layers(method: str, clip: FrozenCLIP, layers: Sequence[int]) -> None:
    """Refuse numbers of vision blocks that the encoder does not have.

    Raises:
        InputError: a number is too small or too large.
    """
    if layers and not 1 <= min(layers) <= max(layers) <= clip.depth:
        raise InputError(f"{method}: layers={list(layers)} do not fit the {clip.depth} vision blocks of '{clip.name}'.")


def learns_from_pixels_alone(method: str) -> str:
    """Return the sentence for images without masks and a method that cannot learn from their labels."""
    return (
        f"{method} learns from pixels alone, and the images to train on have no masks; add masks, or train AdaCLIP, "
        "AnomalyCLIP or CoPS, which learn from image labels as well."
    )
