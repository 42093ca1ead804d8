"""Check that a user's arguments agree with those that the given weights were trained with."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from anomalib_cops.encoder.tiny import STAND_INS
from anomalib_cops.errors import InputError
from anomalib_cops.models.arguments import CommonArguments
from anomalib_cops.models.method import Method, plain
from anomalib_cops.models.request import Request
from anomalib_cops.weights.header import WeightFile, check_same_encoder

PUBLISHED_BACKBONE = "ViT-L-14-336"
PUBLISHED_PRETRAINED = "openai"


def check_consistent(request: Request, file: WeightFile, preset: Mapping[str, Any]) -> None:
    """Refuse arguments that contradict a weight file or checkpoint.

    Args:
        request: the user's arguments.
        file: the weights.
        preset: settings of the preset that was given; empty if none was.

    Raises:
        InputError: an argument contradicts the weights; the message names both values.
    """
    common, theirs = request.common, file.encoder
    # Compare names before the encoder is loaded; afterwards its weights are compared too.
    backbone, image_size = common.backbone or theirs.backbone, common.image_size or theirs.image_size
    check_same_encoder(file, replace(theirs, backbone=backbone, image_size=image_size))
    check_learned(request.method, request.settings, file)
    learned = settings_of(request.method, file)
    for name, value in preset.items():
        if name not in request.settings and name in file.settings and _plain(value) != learned[name]:
            raise InputError(
                f"preset='{common.preset}' means {name}={value}, and {file.source} brings {name}={learned[name]}; "
                "leave preset out: weights bring their settings with them."
            )


def check_learned(method: Method, settings: Mapping[str, Any], file: WeightFile) -> None:
    """Refuse settings other than the prompts were trained with, except those in ``free_at_test``.

    Raises:
        InputError: a setting differs; the message names both values.
    """
    learned = settings_of(method, file)
    for name, value in settings.items():
        fixed = name in file.settings and name not in method.settings.free_at_test
        if fixed and _plain(value) != learned[name]:
            raise InputError(
                f"{file.source} was trained with {name}={learned[name]}, and {name}={_plain(value)} was given; leave "
                f"{name} out, or train again."
            )


def settings_of(method: Method, file: WeightFile) -> dict[str, Any]:
    """Return the settings of a weight file in the form that this version writes.

    Raises:
        InputError: this version does not know a setting or does not allow its value.
    """
    return plain(method.make_settings(file.settings, file.source))


def check_published_encoder(common: CommonArguments) -> None:
    """Refuse any encoder other than the one that all published prompts were trained on.

    The embedded stand-ins pass, so that tests can publish small weights; real ones do not fit their shapes.

    Raises:
        InputError: another backbone or other weights of it were given.
    """
    wrong = None
    if common.backbone not in (None, *STAND_INS, PUBLISHED_BACKBONE, f"{PUBLISHED_BACKBONE}-quickgelu"):
        wrong = f"backbone='{common.backbone}'"
    elif common.pretrained and common.pretrained != PUBLISHED_PRETRAINED and "." not in common.pretrained:
        wrong = f"pretrained='{common.pretrained}'"
    if wrong:
        raise InputError(
            f"The published weights '{common.weights}' were trained on '{PUBLISHED_BACKBONE}' with the weights "
            f"'{PUBLISHED_PRETRAINED}', and {wrong} was given; leave it out."
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
