"""Divide one prediction of a method into stages that can be timed: vision, and the rest with text and alignment.

The stages ``vision`` and ``rest`` are together the whole prediction; ``text`` is the part of ``rest`` that makes
prompts and encodes them. A method that has no entry in ``STAGES`` is one stage, ``whole``.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from anomalib_cops.alignment import gaussian_smooth

from .stopwatch import Task

_CATEGORY = "metal nut"


def stages(name: str, model: Any, images: Tensor) -> dict[str, Task]:
    """Return the stages of a prediction by name.

    Args:
        name: Name of the method.
        model: Its torch model.
        images: Normalised images, [batch, 3, height, width].
    """
    if name in STAGES:
        return STAGES[name](model, images)
    return {"whole": lambda: model(images)}


def _cops(model: Any, images: Tensor) -> dict[str, Task]:
    features = model.encode(images)

    def text() -> Tensor:
        prototypes = model.prototypes(model.local_features(features).mean(dim=0))
        prompts = model.prompts(len(features.cls), prototypes, model.category_tokens(features))
        encoded: Tensor = model.text_features(model.encode_prompts(prompts))
        return encoded

    return _encode_then_rest(model, images, features, text)


def _anomaly_clip(model: Any, images: Tensor) -> dict[str, Task]:
    return _encode_then_rest(model, images, model.encode(images), model.text_features)


def _vcp_clip(model: Any, images: Tensor) -> dict[str, Task]:
    features = model.encode(images)

    def text() -> Any:
        return model.text_features(model.read_prompts(model.prompts(model.context(features))))

    return _encode_then_rest(model, images, features, text)


def _ada_clip(model: Any, images: Tensor) -> dict[str, Task]:
    def vision() -> Any:
        return model.project(model.image_tokens(images, model.dynamic_prompts(images)[0]))

    dynamic = model.dynamic_prompts(images)[1]
    features = vision()

    def rest() -> None:
        text = model.text.features([_CATEGORY], dynamic)
        logits = model.patch_logits(features.patches, text)
        model.image_probabilities(model.image_feature(features, logits), text)
        gaussian_smooth(model.anomaly_map(logits), model.settings.sigma)

    return {"vision": vision, "text": lambda: model.text.features([_CATEGORY], dynamic), "rest": rest}


def _encode_then_rest(model: Any, images: Tensor, features: Any, text: Task) -> dict[str, Task]:
    return {"vision": lambda: model.encode(images), "text": text, "rest": lambda: model(images, features=features)}


STAGES: dict[str, Callable[[Any, Tensor], dict[str, Task]]] = {
    "AdaCLIP": _ada_clip,
    "AnomalyCLIP": _anomaly_clip,
    "CoPS": _cops,
    "VCPCLIP": _vcp_clip,
}
