"""Declare the settings of VCP-CLIP, with the learning rates of the official code as named presets."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from anomalib_cops.models.checks import check_values

PRESETS: dict[str, dict[str, Any]] = {
    "default": {"epochs": 10, "learning_rate": 4e-5},
    "visa": {"epochs": 10, "learning_rate": 4e-5},
    "mvtec": {"epochs": 10, "learning_rate": 2e-5},
}
"""Values by auxiliary set; only the learning rate differs."""

TEMPERATURE_RATE = 0.01
"""Learning rate of the two temperatures, the same for all presets."""


@dataclass(frozen=True)
class VCPCLIPSettings:
    """Sizes, switches and official quirks of the VCP-CLIP computation.

    Attributes:
        free_at_test: settings that a test may change; the others must be those of the weights.
        temperature_rate: learning rate of the two learned temperatures.
        layers: vision blocks, counted from 1, whose patches are scored; the last one of each quarter of the tower if
            empty.
        context_tokens: number of visual context tokens in place of the product's name, r.
        deep_length: number of deep prompts per text block, n; 0 leaves them and their layer norm out, as the official
            code can.
        alpha: share of the Pre map in the anomaly map, in [0, 1].
        sigma: standard deviation of the anomaly map's smoothing, in pixels of the model's input.
        top_pixels: number of largest pixels of each map whose mean makes the image score; all pixels if there are
            fewer.
        heads: number of heads of the Post-VCP attention.
        dropout: dropout rate of the deep prompts in training, in [0, 1).
        use_global: add the image's global feature to the context tokens; without it all images share them.
        quick_gelu: use QuickGELU in the frozen encoder. False is the exact GELU, with which the official code runs
            OpenAI's weights although they were trained with QuickGELU; published prompts need it.
        min_max_over: leave maps and scores as they are ("none"), or stretch both to [0, 1] over the "batch", as the
            official code does over all test images of a category.
    """

    free_at_test: ClassVar[frozenset[str]] = frozenset(
        {"temperature_rate", "alpha", "sigma", "top_pixels", "min_max_over"}
    )

    temperature_rate: float = TEMPERATURE_RATE
    layers: tuple[int, ...] = ()
    context_tokens: int = 2
    deep_length: int = 1
    alpha: float = 0.2
    sigma: float = 8.0
    top_pixels: int = 2000
    heads: int = 8
    dropout: float = 0.1
    use_global: bool = True
    quick_gelu: bool = False
    min_max_over: Literal["none", "batch"] = "none"

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            InputError: a value is not allowed; the message names the field, its value and what is allowed.
        """
        rules = {
            **{name: (getattr(self, name) >= 1, "at least 1") for name in ("context_tokens", "top_pixels", "heads")},
            **{name: (getattr(self, name) >= 0, "at least 0") for name in ("temperature_rate", "deep_length", "sigma")},
            "alpha": (0 <= self.alpha <= 1, "in [0, 1]"),
            "dropout": (0 <= self.dropout < 1, "at least 0 and below 1"),
            "layers": (list(self.layers) == sorted(set(self.layers)), "ascending without repeats"),
            "min_max_over": (self.min_max_over in ("none", "batch"), "'none' or 'batch'"),
        }
        check_values("VCPCLIP", vars(self), rules)
