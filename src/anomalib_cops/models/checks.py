"""What the settings of several methods demand, in the same words."""

from collections.abc import Mapping

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.errors import InputError

Rules = Mapping[str, tuple[bool, str]]
"""By name of a value: whether its rule holds, and what is allowed."""


def check_values(method: str, values: Mapping[str, object], rules: Rules) -> None:
    """Demand that all rules hold.

    Raises:
        InputError: naming the first value that breaks its rule, and what is allowed.
    """
    for name, (holds, allowed) in rules.items():
        if not holds:
            raise InputError(f"{method}: {name}={values[name]} must be {allowed}.")


def check_words_take_features(method: str, clip: FrozenCLIP) -> None:
    """Demand that image features have the size of words.

    Raises:
        InputError: the encoder's text width is not its joint dimension.
    """
    if clip.text_width != clip.dim:
        raise InputError(
            f"{method} adds image features to words, so it needs a backbone whose text width ({clip.text_width}) "
            f"equals its joint dimension ({clip.dim}); '{clip.name}' is not one."
        )


def check_deep_depth(method: str, clip: FrozenCLIP, deep_depth: int) -> None:
    """Demand a text block for every set of deep prompts; the first block takes none.

    Raises:
        InputError: there are too few.
    """
    if deep_depth >= clip.text_depth:
        raise InputError(
            f"{method}: deep_depth={deep_depth} does not fit the {clip.text_depth} text blocks of '{clip.name}'; "
            f"use at most {clip.text_depth - 1}."
        )
