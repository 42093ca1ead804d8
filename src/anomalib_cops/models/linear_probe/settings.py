"""Declare the settings of the linear probe."""

from dataclasses import dataclass
from typing import Any, ClassVar

from anomalib_cops.models.checks import check_values

PRESETS: dict[str, dict[str, Any]] = {"default": {"epochs": 5, "learning_rate": 1e-3}}
"""Values by auxiliary set."""


@dataclass(frozen=True)
class LinearProbeSettings:
    """Sizes of the linear probe.

    Attributes:
        free_at_test: settings that a test may change; the others must be those of the weights.
        layers: vision blocks, counted from 1, whose patches are scored; the last one of each quarter of the tower if
            empty.
        sigma: standard deviation of the anomaly map's smoothing, in pixels of the model's input.
    """

    free_at_test: ClassVar[frozenset[str]] = frozenset({"sigma"})

    layers: tuple[int, ...] = ()
    sigma: float = 4.0

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            InputError: a value is not allowed; the message names the field, its value and what is allowed.
        """
        rules = {
            "layers": (list(self.layers) == sorted(set(self.layers)), "ascending without repeats"),
            "sigma": (self.sigma >= 0, "at least 0"),
        }
        check_values("LinearProbe", vars(self), rules)
