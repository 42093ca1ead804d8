"""Describe the methods for the tests that run over all of them: small models of every variant."""

from dataclasses import dataclass, field
from typing import Any

import open_clip
import torch

import anomalib_cops
from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.encoder.load import build
from anomalib_cops.models.method import Method
from anomalib_cops.registry import MODELS

SIDE = 40
CONFIG: dict[str, Any] = {
    "embed_dim": 48,
    "vision_cfg": {"image_size": SIDE, "layers": 4, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 48, "heads": 2, "layers": 10},
    "quick_gelu": True,
}


@dataclass(frozen=True)
class Case:
    """Describe one method for these tests.

    Attributes:
        variants: settings of each variant, by the variant's name.
        exportable: settings with which the whole model can be traced.
        inert: trained parameters whose gradient is zero by the method's mathematics.
        rounding: largest change of a score from summing in another order.
    """

    variants: dict[str, dict[str, Any]]
    exportable: dict[str, Any] = field(default_factory=dict)
    inert: frozenset[str] = frozenset()
    rounding: float = 1e-6


# A branch without prompts still has their generator, as in official checkpoints.
UNUSED_GENERATORS = [
    f"{tower}_generator.heads.{head}.{kind}"
    for tower in ("vision", "text")
    for head in range(5)
    for kind in ("weight", "bias")
]
CASES = {
    "AdaCLIP": Case(
        {
            "full": {},
            "without fusion": {"fusion": False},
            "static": {"prompts": "S"},
            "dynamic": {"prompts": "D"},
            "image tower": {"branch": "V"},
            "text tower": {"branch": "L"},
            "no prompts": {"branch": "", "prompts": ""},
            "Dice over rows": {"dice_over": "row"},
            "other sizes": {"depth": 2, "length": 3, "layers": (2, 4), "clusters": 4, "quick_gelu": True},
        },
        exportable={"fusion": False},
        inert=frozenset(UNUSED_GENERATORS),
        rounding=2e-5,  # logits are 100 times the cosine
    ),
    "CoPS": Case(
        {
            "full": {},
            "static prompts": {"states": "static", "categories": "static", "spatial": False},
            "without ESTS": {"states": "static"},
            "without ICTS": {"categories": "static"},
            "without SAGA": {"spatial": False},
            "posterior": {"test_categories": "posterior"},
            "paper's objective": {"objective": "paper"},
            "two layers": {"layers": (2, 3)},
            "other sizes": {
                "n_prototypes": 3,
                "n_samples": 4,
                "context_tokens": 5,
                "category_tokens": 1,
                "deep_depth": 2,
            },
        }
    ),
    "AnomalyCLIP": Case(
        {
            "full": {},
            "three layers": {"layers": (1, 3, 4), "local_start": 2},
            "feed-forward": {"local_feed_forward": True},
            "other sizes": {"context_tokens": 5, "deep_depth": 2, "deep_length": 3},
        }
    ),
    "VCPCLIP": Case(
        {
            "full": {},
            "without global feature": {"use_global": False},
            "without deep prompts": {"deep_length": 0},
            "other sizes": {"layers": (1, 4), "context_tokens": 3, "deep_length": 2, "heads": 4, "top_pixels": 100},
        },
        # The first adds a constant that layer norms remove, the second one that a softmax removes.
        inert=frozenset({"pre.conv.bias", "post.key.bias"}),
    ),
    "LinearProbe": Case({"full": {}, "two layers": {"layers": (2, 3), "sigma": 0.0}}),
}


def method(name: str) -> Method:
    """Return the declaration of a method."""
    found: Method = MODELS[name].method
    return found


def lightning_class(name: str) -> Any:
    """Return the Lightning class of a method."""
    return getattr(anomalib_cops, name)


def encoder() -> open_clip.CLIP:
    """Return a small CLIP with random weights, the same ones in every call."""
    torch.manual_seed(0)
    return build(CONFIG)


def make(name: str, clip: open_clip.CLIP, **settings: Any) -> Any:
    """Return a torch model whose prompts are large random values, so that they affect the result."""
    return make_on(FrozenCLIP(clip, SIDE, name="small"), name, **settings)


def make_on(frozen: FrozenCLIP, name: str, **settings: Any) -> Any:
    """Return such a model on an encoder of any family."""
    torch.manual_seed(1)
    chosen = method(name)
    model = chosen.build(frozen, chosen.settings(**settings))
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def official_stand_in(name: str) -> dict[str, Any]:
    """Return what the official code would save of a tiny model: its names and shapes, all of one value."""
    keys, state = method(name).keys, lightning_class(name)(backbone="tiny").trained_state()
    official = {key: torch.zeros(shape) for key, shape in keys.unused(state).items()}
    for ours, value in state.items():
        if not ours.startswith(keys.optional):
            part = torch.full_like(value[0] if ours in keys.stacked else value, 0.25)
            official |= {key: part for key in keys.names(ours)}
    return {keys.entry: official} if keys.entry else official
