"""What the user gives beside weights has to agree with what the weights were trained with."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from anomalib_cops.encoder import EncoderIdentity
from anomalib_cops.encoder.load import TINY
from anomalib_cops.errors import InputError
from anomalib_cops.weights.header import WeightFile, check_same_encoder

if TYPE_CHECKING:
    from anomalib_cops.models.assembly import Method, Recipe, Start

PUBLISHED_BACKBONE = "ViT-L-14-336"
PUBLISHED_PRETRAINED = "openai"


def check_consistent(recipe: "Recipe", file: WeightFile, preset: Mapping[str, Any]) -> None:
    """Refuse arguments that contradict a weight file or checkpoint.

    Args:
        recipe: what was given.
        file: the weights.
        preset: settings of the preset that was given; empty without one.

    Raises:
        InputError: naming both values.
    """
    start, chosen, theirs = recipe.start, recipe.chosen, file.encoder
    # Before anything is loaded; what is loaded then is compared once more, weights included.
    asked = EncoderIdentity(start.backbone or theirs.backbone, start.image_size or theirs.image_size)
    check_same_encoder(file, asked)
    check_learned(recipe.method, chosen, file)
    for name, value in preset.items():
        if name not in chosen and name in file.settings and _plain(value) != file.settings[name]:
            raise InputError(
                f"preset='{start.preset}' means {name}={value}, and {file.source} brings {name}={file.settings[name]}; "
                "leave preset out: weights bring their settings with them."
            )


def check_learned(method: "Method", settings: Mapping[str, Any], file: WeightFile) -> None:
    """Refuse settings with which the prompts were not learned; a test may set ``free_at_test`` otherwise.

    Raises:
        InputError: naming both values.
    """
    for name, value in settings.items():
        learned = file.settings.get(name)
        if name not in method.settings.free_at_test and name in file.settings and _plain(value) != learned:
            raise InputError(
                f"{file.source} was trained with {name}={learned}, and {name}={_plain(value)} was given; leave {name} "
                "out, or train again."
            )


def check_published_encoder(start: "Start") -> None:
    """Refuse another encoder than the one that all published prompts were trained on.

    Shapes tell the tiny CLIP from it, so that stand-ins of published weights can be tested.

    Raises:
        InputError: another backbone or other weights of it were given.
    """
    wrong = None
    if start.backbone not in (None, TINY, PUBLISHED_BACKBONE, f"{PUBLISHED_BACKBONE}-quickgelu"):
        wrong = f"backbone='{start.backbone}'"
    elif start.pretrained and start.pretrained != PUBLISHED_PRETRAINED and "." not in start.pretrained:
        wrong = f"pretrained='{start.pretrained}'"
    if wrong:
        raise InputError(
            f"The published weights '{start.weights}' were trained on '{PUBLISHED_BACKBONE}' with the weights "
            f"'{PUBLISHED_PRETRAINED}', and {wrong} was given; leave it out."
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
