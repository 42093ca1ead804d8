"""Declare the settings of AnomalyCLIP."""

from dataclasses import dataclass
from typing import Any, ClassVar

from anomalib_cops.models.checks import check_values

PRESETS: dict[str, dict[str, Any]] = {
    name: {"epochs": 15, "learning_rate": 1e-3} for name in ("default", "visa", "mvtec")
}
"""Values by auxiliary set; they are all equal, as nothing in the official code depends on the set."""


@dataclass(frozen=True)
class AnomalyCLIPSettings:
    """Sizes, switches and official quirks of the AnomalyCLIP computation.

    Attributes:
        free_at_test: settings that a test may change; the others must be those of the weights.
        layers: vision blocks, counted from 1, whose local features are used; the last one if empty, as published.
        local_start: vision block, counted from 1, where the local (v-v) path begins. By default the 19th from the end,
            or the first of a shorter tower.
        local_feed_forward: use a variant of the local path that the official code contains but no official script uses.
        context_tokens: number of learnable words before "object".
        deep_depth: number of text blocks with deep prompts, from the second one on.
        deep_length: number of deep prompts per block.
        local_weight: weight of the pixel losses relative to the image loss.
        sigma: standard deviation of the anomaly map's smoothing, in pixels of the model's input.
        half_deep_prompts: round deep prompts to float16, as published.
    """

    free_at_test: ClassVar[frozenset[str]] = frozenset({"sigma"})

    layers: tuple[int, ...] = ()
    local_start: int | None = None
    local_feed_forward: bool = False
    context_tokens: int = 12
    deep_depth: int = 8
    deep_length: int = 4
    local_weight: float = 4.0
    sigma: float = 4.0
    half_deep_prompts: bool = True

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            InputError: a value is not allowed; the message names the field, its value and what is allowed.
        """
        if self.local_start == 0:  # the default in weight files of version 0.1.0
            object.__setattr__(self, "local_start", None)
        rules = {
            "layers": (list(self.layers) == sorted(set(self.layers)), "ascending without repeats"),
            "local_start": (self.local_start is None or self.local_start >= 1, "at least 1"),
            "context_tokens": (self.context_tokens >= 1, "at least 1"),
            "deep_depth": (self.deep_depth >= 0, "at least 0"),
            "deep_length": (0 <= self.deep_length <= self.context_tokens, "between 0 and context_tokens"),
            "local_weight": (self.local_weight >= 0, "at least 0"),
            "sigma": (self.sigma >= 0, "at least 0"),
        }
        check_values("AnomalyCLIP", vars(self), rules)
