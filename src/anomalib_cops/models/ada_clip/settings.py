"""Declare the settings of AdaCLIP and check that an encoder fits them."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.errors import InputError
from anomalib_cops.models.checks import check_layers, check_values

PRESETS: dict[str, dict[str, Any]] = {
    name: {"epochs": 5, "learning_rate": 0.01}
    for name in ("default", "mvtec", "visa", "mvtec_colondb", "visa_clinicdb", "all")
}
"""Values by auxiliary set. The official code trains in the same way on all of them; the names let a run state its
auxiliary set, as with the other methods."""


@dataclass(frozen=True)
class AdaCLIPSettings:
    """Sizes, switches and official quirks of the AdaCLIP computation.

    Attributes:
        free_at_test: settings that a test may change; the others must be those of the weights.
        branch: towers that get prompts: "V" the image tower, "L" the text tower (language), "VL" both, or none ("").
        prompts: kind of the prompts: "S" static (learned), "D" dynamic (made from the image), "SD" their sum, or none
            ("").
        depth: number of blocks that get prompts of their own; the first text block counts but gets none.
        length: number of prompts per block.
        layers: vision blocks, counted from 1, whose patches are used; four evenly spaced ones if empty.
        fusion: mix the class feature with the clustered features of the most anomalous patches (HSF).
        clusters: number of clusters of the fusion, K; five times as many patches are clustered.
        sigma: standard deviation of the anomaly map's smoothing, in pixels of the model's input.
        half_prompts: round prompts to float16, as published.
        quick_gelu: use the activation that OpenAI's weights were trained with, instead of the exact GELU of the
            official code.
        class_name: name of what all images show. If empty, the category that the data names, else "object".
        clustering: start k-means from the same seed for every image ("fixed"), or use numpy's global random "stream" as
            the official code does.
        dice_over: compute one Dice loss per "image", or one per pixel "row" as in the official code's batches of one.
        seed: seed of k-means, 0 if not given.
    """

    free_at_test: ClassVar[frozenset[str]] = frozenset(
        {"fusion", "clusters", "sigma", "class_name", "clustering", "seed"}
    )

    branch: Literal["", "V", "L", "VL"] = "VL"
    prompts: Literal["", "S", "D", "SD"] = "SD"
    depth: int = 4
    length: int = 5
    layers: tuple[int, ...] = ()
    fusion: bool = True
    clusters: int = 20
    sigma: float = 4.0
    half_prompts: bool = True
    quick_gelu: bool = False
    class_name: str = ""
    clustering: Literal["fixed", "stream"] = "fixed"
    dice_over: Literal["image", "row"] = "image"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check values and combinations.

        Raises:
            InputError: a value is not allowed; the message names the field, its value and what is allowed.
        """
        rules = {
            "branch": (self.branch in ("", "V", "L", "VL"), "'V', 'L', 'VL' or empty"),
            "prompts": (self.prompts in ("", "S", "D", "SD"), "'S', 'D', 'SD' or empty"),
            **{name: (getattr(self, name) >= 1, "at least 1") for name in ("depth", "length", "clusters")},
            "layers": (list(self.layers) == sorted(set(self.layers)), "ascending without repeats"),
            "sigma": (self.sigma >= 0, "at least 0"),
            "clustering": (self.clustering in ("fixed", "stream"), "'fixed' or 'stream'"),
            "dice_over": (self.dice_over in ("image", "row"), "'image' or 'row'"),
            "seed": (0 <= self.seed < 2**32, "between 0 and 2**32 - 1"),
        }
        check_values("AdaCLIP", {name: repr(value) for name, value in vars(self).items()}, rules)
        if self.branch and not self.prompts:
            raise InputError(
                f"AdaCLIP: branch='{self.branch}' has no prompts to insert; set prompts to 'S', 'D' or 'SD', or "
                "branch=''."
            )


def four_layers(depth: int) -> tuple[int, ...]:
    """Return the four evenly spaced blocks that the official code taps, or all blocks of a tower with fewer."""
    step = max(1, depth // 4)
    return tuple(range(step, min(4 * step, depth) + 1, step))


def check_ada_clip_fits_encoder(clip: FrozenCLIP, settings: AdaCLIPSettings, layers: tuple[int, ...]) -> None:
    """Refuse an encoder that does not fit the settings.

    Raises:
        InputError: the encoder does not fit; the message names the setting.
    """
    patches = clip.grid**2
    for tower, letter, blocks in (("vision", "V", clip.depth), ("text", "L", clip.text_depth)):
        if letter in settings.branch and settings.depth > blocks:
            raise InputError(
                f"AdaCLIP: depth={settings.depth} does not fit the {blocks} {tower} blocks of '{clip.name}'; use at "
                f"most {blocks}."
            )
    check_layers("AdaCLIP", clip, layers)
    if settings.fusion and settings.clusters > patches:
        raise InputError(
            f"AdaCLIP: clusters={settings.clusters} are more than the {patches} patches of a {clip.image_size}-pixel "
            f"image; use at most {patches}, or fusion=False."
        )


def check_traceable(settings: AdaCLIPSettings) -> None:
    """Refuse settings that an exported graph cannot compute.

    Raises:
        InputError: fusion is on.
    """
    if settings.fusion:
        raise InputError(
            "AdaCLIP clusters patches by k-means, which no exported graph can do; set fusion=False to export it to "
            "ONNX or OpenVINO."
        )
