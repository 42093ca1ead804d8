"""Declare the settings of CoPS, with the choices of the official code as named presets."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.errors import InputError
from anomalib_cops.models.checks import check_deep_depth, check_values
from anomalib_cops.models.method import AUTOMATIC

PRESETS: dict[str, dict[str, Any]] = {
    "default": {
        "neighbourhood": 5,
        "alpha": 0.26,
        "beta": 0.9,
        "reconstruction": True,
        "epochs": 10,
        "learning_rate": 1e-3,
    },
    "visa": {
        "neighbourhood": 5,
        "alpha": 0.26,
        "beta": 0.9,
        "reconstruction": False,
        "epochs": 10,
        "learning_rate": 1e-3,
    },
    "mvtec": {
        "neighbourhood": 3,
        "alpha": 0.35,
        "beta": 1.0,
        "reconstruction": True,
        "epochs": 5,
        "learning_rate": 1e-3,
    },
}
"""Values by auxiliary set. The official code chooses them by the folder names of the training *and* the test set. These
are the pairs that it is meant for: VisA to all others, MVTec AD to VisA."""


@dataclass(frozen=True)
class CoPSSettings:
    """Sizes, switches and official quirks of the CoPS computation.

    Attributes:
        free_at_test: settings that a test may change; the others must be those of the weights.
        n_prototypes: number of prototypes per state, M. With "auto" a training first chooses it on categories of the
            auxiliary set that it holds out.
        n_samples: number of category tokens sampled per image at test, R. With "auto" a training chooses the number
            from which on further samples hardly move the text features.
        states: "dynamic" adds prototypes to the learnable state words, "static" is CoPS without ESTS.
        categories: "sampled" adds VAE samples to the learnable category words, "static" is CoPS without ICTS.
        spatial: weigh patches by their distance to prototypes; False is CoPS without SAGA.
        neighbourhood: side of the averaging window in patches, odd.
        alpha: share of the normal prototypes in the spatial weight, in [0, 1].
        beta: share of the global probability in the image score, in [0, 1].
        sigma: standard deviation of the anomaly map's smoothing, in pixels of the model's input.
        layers: vision blocks, counted from 1, whose local features are used; the last one if empty.
        local_start: vision block, counted from 1, where the local (v-v) path begins.
        context_tokens: number of learnable words before the state words.
        category_tokens: number of words that carry the category.
        deep_depth: number of text blocks with deep prompts, from the second one on.
        deep_length: number of deep prompts per block.
        reconstruction: train the VAE to reconstruct the global feature.
        test_categories: sample category tokens from the "prior", or from the image's "posterior".
        objective: use the losses of the "official" code, or those of the "paper" (focal loss for images, Dice and cross
            entropy for pixels).
        cross_prototypes: give normal prompts the anomalous prototypes and vice versa; published weights need it.
        half_deep_prompts: round deep prompts to float16, as published.
        min_max_over: stretch distances to [0, 1] over each "image", or over the "batch" as the official code does.
        noise: use the same "fixed" noise for every image, or a "stream" of new noise as the official code does.
        all_pairs_reconstruction: compare every decoded sample with every image of the batch, as the official code does.
        reflip_levels: invert anomalous distances again at every further layer, as the official code does.
        references: compare patches with those of reference images beside the prompts ("memory"), or count those among
            the normal "prototypes" of the spatial weight.
        seed: seed of the fixed noise, 0 if not given.
    """

    free_at_test: ClassVar[frozenset[str]] = frozenset(
        {
            "n_samples",
            "alpha",
            "beta",
            "sigma",
            "spatial",
            "test_categories",
            "min_max_over",
            "noise",
            "reflip_levels",
            "references",
            "seed",
        }
    )

    n_prototypes: int = field(default=6, metadata=AUTOMATIC)
    n_samples: int = field(default=10, metadata=AUTOMATIC)
    states: Literal["dynamic", "static"] = "dynamic"
    categories: Literal["sampled", "static"] = "sampled"
    spatial: bool = True
    neighbourhood: int = 5
    alpha: float = 0.26
    beta: float = 0.9
    sigma: float = 4.0
    layers: tuple[int, ...] = ()
    local_start: int = 1
    context_tokens: int = 6
    category_tokens: int = 2
    deep_depth: int = 8
    deep_length: int = 4
    reconstruction: bool = True
    test_categories: Literal["prior", "posterior"] = "prior"
    objective: Literal["official", "paper"] = "official"
    cross_prototypes: bool = True
    half_deep_prompts: bool = True
    min_max_over: Literal["image", "batch"] = "image"
    noise: Literal["fixed", "stream"] = "fixed"
    all_pairs_reconstruction: bool = False
    reflip_levels: bool = False
    references: Literal["memory", "prototypes"] = "memory"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            InputError: a value is not allowed; the message names the field, its value and what is allowed.
        """
        positive = ("local_start", "n_prototypes", "n_samples", "context_tokens", "category_tokens")
        rules = {
            **{name: (getattr(self, name) >= 1, "at least 1") for name in positive},
            **{name: (0 <= getattr(self, name) <= 1, "in [0, 1]") for name in ("alpha", "beta")},
            "deep_depth": (self.deep_depth >= 0, "at least 0"),
            "deep_length": (0 <= self.deep_length <= self.context_tokens, "between 0 and context_tokens"),
            "neighbourhood": (self.neighbourhood >= 1 and self.neighbourhood % 2 == 1, "odd and positive"),
            "sigma": (self.sigma >= 0, "at least 0"),
            "layers": (list(self.layers) == sorted(set(self.layers)), "ascending without repeats"),
            "references": (self.spatial or not self.references_are_prototypes, '"memory" where spatial is False'),
            "seed": (self.seed >= 0, "at least 0"),
        }
        check_values("CoPS", vars(self), rules)

    @property
    def references_are_prototypes(self) -> bool:
        """Whether reference patches are normal prototypes of SAGA, rather than a memory beside the prompts."""
        return self.references == "prototypes"

    @property
    def adds_features(self) -> bool:
        """Whether prototypes or category tokens are added to words."""
        return self.states == "dynamic" or self.categories == "sampled"

    @property
    def needs_prototypes(self) -> bool:
        """Whether the state words or the spatial weights use prototypes."""
        return self.states == "dynamic" or self.spatial


def check_cops_fits_encoder(clip: FrozenCLIP, settings: CoPSSettings) -> None:
    """Refuse an encoder that does not fit the settings.

    Raises:
        InputError: the encoder does not fit; the message names the setting.
    """
    check_deep_depth("CoPS", clip, settings.deep_depth)
    deepest = max(settings.layers, default=1)
    if not 1 <= min(settings.layers, default=1) <= deepest <= clip.depth or settings.local_start > (
        min(settings.layers, default=clip.depth)
    ):
        raise InputError(
            f"CoPS: layers={list(settings.layers)} with local_start={settings.local_start} do not fit the "
            f"{clip.depth} vision blocks of '{clip.name}'."
        )
