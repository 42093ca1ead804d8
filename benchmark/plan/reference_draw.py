"""Say how many good images of each category a cell gives its model, and which draw of them."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from anomalib_cops.errors import InputError

from ..own_models import is_own_model
from .entries import FITTED_ON_REFERENCES, MethodConfig, Transfer

RESERVED = ("k_shot", "few_shot_source")
"""Arguments of constructors that a run sets itself where the configuration has ``shots``."""


@dataclass(frozen=True)
class ReferenceDraw:
    """One draw of reference images.

    Attributes:
        shots: Number of references per category.
        draw: Seed that they are drawn by.
        largest: Largest number of references in the matrix. So many images are left out of the test for every number
            of references, so that all numbers of a draw are tested on the same images.
    """

    shots: int
    draw: int
    largest: int

    @property
    def settings(self) -> dict[str, Any]:
        """What decides on the figures, as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        """Name the draw as messages do."""
        return f"{shots_text(self.shots)}, draw {self.draw}"


def shots_text(shots: int) -> str:
    """Return a number of references in words, such as "4 references"."""
    return f"{shots} reference{'s' * (shots != 1)}"


def reference_draws(method: MethodConfig, shots: Sequence[int], draws: Sequence[int]) -> Iterator[ReferenceDraw | None]:
    """Yield the draws of references that a method is tested with; None once if the matrix has no references.

    A method that is fitted on references needs one at least.
    """
    if not shots:
        yield None
        return
    for count in shots:
        if count or method.fitted_on != FITTED_ON_REFERENCES:
            for draw in draws:
                yield ReferenceDraw(count, draw, max(shots))


def check_references(
    methods: Sequence[MethodConfig], transfers: Sequence[Transfer], shots: Sequence[int], draws: Sequence[int]
) -> None:
    """Refuse numbers of references and draws that cannot be run.

    Raises:
        InputError: A number is negative or there twice, there is no draw, a method cannot be fitted on references, or
            options give references besides.
    """
    for values, kind in ((shots, "number of references"), (draws, "draw")):
        for value in values:
            if value < 0:
                raise InputError(f"the {kind} {value} is negative; it is 0 or more.")
            if list(values).count(value) > 1:
                raise InputError(f"the {kind} {value} is there twice; give each once.")
    if shots and not draws:
        raise InputError("the matrix is empty: draws is an empty list; name at least one.")
    for method in methods:
        is_fitted = method.fitted_on == FITTED_ON_REFERENCES
        if is_fitted and is_own_model(method.model):
            raise InputError(
                f"'{method.name}' is a {method.model}, which compares with references and is not fitted on them; leave "
                "fitted_on out."
            )
        if is_fitted and not any(shots):
            raise InputError(f"'{method.name}' is fitted on references, and there are none; give shots, such as [4].")
        if not shots and not is_own_model(method.model):
            continue
        for options in (method.options, method.test_options, *(each.options for each in transfers)):
            if given := [name for name in RESERVED if options.get(name)]:
                raise InputError(
                    f"the options of '{method.name}' have {given[0]}, but references differ from category to category; "
                    "give shots in the configuration instead."
                )
