"""Collect what the table says of a backbone, from the code: support, parameters, native size, tags, licences."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.encoder.load import model_config
from anomalib_cops.errors import InputError
from anomalib_cops.registry import MODELS
from benchmark.speed.weightless import encoder_of, model_of
from tools.backbones.licences import licences_of
from tools.backbones.methods import method_on

SMALLER_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "AdaCLIP": ("depth", "length", "clusters"),
    "AnomalyCLIP": ("context_tokens", "deep_depth"),
    "CoPS": ("context_tokens", "deep_depth"),
    "VCPCLIP": ("heads", "context_tokens"),
}
"""For each method, the settings whose smaller values may make it fit a tower that refuses its defaults."""


@dataclass(frozen=True)
class Facts:
    """What the table says of a backbone.

    Attributes:
        record: all but the operations, as plain data; of a refused backbone the reason alone.
        clip: its encoder without weights; None if it is refused.
    """

    record: dict[str, Any]
    clip: FrozenCLIP | None = None


def facts_of(backbone: str) -> Facts:
    """Build a backbone without weights, and every method on it, and return what the table says of them."""
    try:
        model = model_of(backbone)
        clip = encoder_of(backbone, model)
    except InputError as error:
        return Facts({"refused": reason_of(error, backbone)})
    image = sum(each.numel() for each in model.visual.parameters())
    text = sum(each.numel() for name, each in model.named_parameters() if not name.startswith(("visual.", "logit_")))
    record = {
        "family": family(backbone),
        "licences": licences_of(backbone),
        "image_parameters": image,
        "image_size": clip.image_size,
        "patch": clip.patch_size,
        "methods": {name: settings_for(clip, name) for name in MODELS},
    }
    if clip.tokenizer is not None:
        record |= {"text_parameters": text, "context": clip.tokenizer.context_length}
    return Facts(record, clip)


def reason_of(error: InputError, backbone: str) -> str:
    """Return why a backbone is refused, from the error that users get, with "…" for the name of its tower."""
    reason = str(error).split(" cannot be used: ", 1)[1].rsplit("; try ", 1)[0]
    config = model_config(backbone)
    for name in (config["vision_cfg"].get("timm_model_name"), config["text_cfg"].get("hf_model_name")):
        reason = reason.replace(name, "…") if name else reason
    return reason


def settings_for(clip: FrozenCLIP, name: str) -> dict[str, int] | None:
    """Return the settings that a model needs besides its defaults on an encoder; None if it refuses all."""
    for settings in candidates(name):
        try:
            method_on(clip, name, **settings)
        except InputError:
            continue
        return settings
    return None


def candidates(name: str) -> Iterator[dict[str, int]]:
    """Yield settings of a method to try: its defaults, then one smaller setting at a time, the largest value first."""
    yield {}
    defaults = MODELS[name].method.settings()
    for setting in SMALLER_SETTINGS.get(name, ()):
        for value in range(getattr(defaults, setting) - 1, 0, -1):
            try:
                MODELS[name].method.make_settings({setting: value})
            except InputError:
                continue
            yield {setting: value}


def family(backbone: str) -> str:
    """Return the family of a backbone, which its name tells."""
    marks = {
        "SigLIP2": "SigLIP 2",
        "SigLIP": "SigLIP",
        "CLIPA": "CLIPA",
        "worldwide": "MetaCLIP 2",
        "EVA0": "EVA",
        "PE-Core": "Perception Encoder",
        "MobileCLIP": "MobileCLIP",
        "dinov2": "DINOv2",
        "dinov3": "DINOv3",
    }
    return next((words for mark, words in marks.items() if mark in backbone), "CLIP")
