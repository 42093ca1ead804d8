"""Speed of inference: every method beside open_clip's own ``encode_image``, and how CoPS grows."""

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anomalib_cops.alignment import gaussian_smooth
from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.encoder.load import build, model_config, native_image_size
from anomalib_cops.models.cops.settings import CoPSSettings
from anomalib_cops.models.cops.torch_model import CoPSModel
from anomalib_cops.plugin import MODELS

from .stopwatch import Work, gflop, interleaved

PLAIN = "open_clip encode_image"
MANY = 100
"""Samples of CoPS per image; 10 are published."""


def methods(backbone: str, device: str, repetitions: int) -> dict[str, Any]:
    """Seconds and arithmetic of one image, for every method and its stages, and for open_clip.

    Args:
        backbone: With random weights; speed does not depend on them.
        device: "cpu" or "cuda".
        repetitions: Of every piece of work.
    """
    size = native_image_size(backbone)
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    torch.manual_seed(0)
    network = build(model_config(backbone)).to(device)
    # As published weights are; open_clip's own call takes float32 only.
    stored = copy.deepcopy(network).half()
    models = {name: _model(name, stored, size, device) for name in MODELS}
    many = CoPSModel(FrozenCLIP(stored, size), CoPSSettings(n_samples=MANY)).to(device).requires_grad_(False).eval()
    network.visual.positional_embedding.data = models["CoPS"].clip.positions.clone()
    with torch.inference_mode():
        works: dict[str, Work] = {PLAIN: lambda: network.encode_image(images)}
        for name, model in models.items():
            works |= {f"{name}/{stage}": work for stage, work in _stages(name, model, images).items()}
        works[f"CoPS/rest, R={MANY}"] = _stages("CoPS", many, images)["rest"]
        # These first runs warm up too.
        operations = {name: gflop(work) for name, work in works.items()}
        seconds = interleaved(works, repetitions)
        variants = _variants(models["CoPS"], images, repetitions) if device == "cuda" else {}
    return {
        "backbone": backbone,
        "image_size": size,
        "works": {name: {"seconds": seconds[name], "gflop": operations[name]} for name in works},
        "variants": variants,
    }


def _model(name: str, network: Any, size: int, device: str) -> Any:
    method = import_module(MODELS[name]).METHOD
    clip = FrozenCLIP(
        network, size, position_resize=method.position_resize, position_antialias=method.position_antialias
    )
    # Operations are counted by hooks that stumble over parameters with gradients.
    return method.build(clip, method.settings()).to(device).requires_grad_(False).eval()


def _stages(name: str, model: Any, images: Tensor) -> dict[str, Work]:
    """Vision; prompts and text; and the rest, which is text and alignment. The first and the last are the whole."""
    if name == "AdaCLIP":
        dynamic = model.dynamic_prompts(images)[1]
        features = model.project(model.image_tokens(images, model.dynamic_prompts(images)[0]))
        return {
            "vision": lambda: model.project(model.image_tokens(images, model.dynamic_prompts(images)[0])),
            "text": lambda: model.text_features(["metal nut"], dynamic),
            "rest": lambda: _ada_clip_rest(model, features, dynamic),
        }
    features = model.encode(images)
    texts: dict[str, Work] = {
        "CoPS": lambda: _cops_text(model, features),
        "AnomalyCLIP": model.text_features,
        "VCPCLIP": lambda: model.text_features(model.read_prompts(model.prompts(model.context(features)))),
    }
    return {
        "vision": lambda: model.encode(images),
        "text": texts[name],
        "rest": lambda: model(images, features=features),
    }


def _ada_clip_rest(model: Any, features: Any, dynamic: Tensor) -> None:
    text = model.text_features(["metal nut"], dynamic)
    logits = model.patch_logits(features.patches, text)
    model.image_probabilities(model.image_feature(features, logits), text)
    gaussian_smooth(model.anomaly_map(logits), model.settings.sigma)


def _cops_text(model: CoPSModel, features: Any) -> Tensor:
    assert model.prototypes is not None
    prototypes = model.prototypes(model.local_features(features).mean(dim=0))
    prompts = model.prompts(len(features.cls), prototypes, model.category_tokens(features))
    return model.text_features(model.encode_prompts(prompts))


def _variants(model: CoPSModel, images: Tensor, repetitions: int) -> dict[str, Any]:
    """Batches on a GPU in float32, under bfloat16 autocast, and compiled; beside the card's own bfloat16 products."""
    batch = images.expand(8, -1, -1, -1).contiguous()
    square = torch.randn(8192, 8192, device=batch.device, dtype=torch.bfloat16)
    product = interleaved({"product": lambda: square @ square}, 10)["product"]["least"]
    rate = 2 * 8192**3 / product
    operations = gflop(lambda: model(batch)) * 1e9
    found = {}
    for name, precision, compiled in (
        ("float32", None, False),
        ("bfloat16", torch.bfloat16, False),
        ("bfloat16, compiled", torch.bfloat16, True),
    ):
        run: Callable[[Tensor], Any] = torch.compile(model) if compiled else model
        context: AbstractContextManager[Any] = torch.autocast("cuda", precision) if precision else nullcontext()
        with context:
            run(batch)
            seconds = interleaved({name: lambda run=run: run(batch)}, max(repetitions, 5))[name]["median"]  # type: ignore[misc]
        found[name] = {"images_per_second": len(batch) / seconds, "share_of_bf16_rate": operations / seconds / rate}
    return found


def growth(backbone: str, repetitions: int) -> dict[str, Any]:
    """Seconds of CoPS as one size grows: points and their linear fit."""
    torch.manual_seed(0)
    network = build(model_config(backbone))
    native = native_image_size(backbone)
    patch = int(network.visual.conv1.kernel_size[0])

    def run(batch: int = 1, size: int = native, calls: int = 1, **settings: int) -> Work:
        model = CoPSModel(FrozenCLIP(network, size), replace(CoPSSettings(), **settings)).eval()  # type: ignore[arg-type]
        images = torch.randn(batch, 3, size, size)

        def work() -> None:
            for _ in range(calls):
                model(images)

        return work

    sizes = [native, native + 4 * patch, native + 8 * patch]
    lines: dict[str, dict[int, Work]] = {
        "images per batch": {count: run(batch=count) for count in (1, 2, 4)},
        "samples R": {count: run(n_samples=count) for count in (1, 50, 100)},
        "prototypes M": {count: run(n_prototypes=count) for count in (1, 12, 24)},
        "patches": {(size // patch) ** 2: run(size=size) for size in sizes},
        "images, one by one": {count: run(calls=count) for count in (1, 2, 4)},
    }
    works = {f"{name}={value}": work for name, points in lines.items() for value, work in points.items()}
    with torch.inference_mode():
        for work in works.values():
            work()
        seconds = interleaved(works, repetitions)
    return {
        name: _fit(list(points), [seconds[f"{name}={value}"]["median"] for value in points])
        for name, points in lines.items()
    }


def _fit(values: Sequence[int], seconds: Sequence[float]) -> dict[str, Any]:
    slope, constant = np.polyfit(values, seconds, 1)
    residual = np.asarray(seconds) - (slope * np.asarray(values) + constant)
    spread = np.asarray(seconds) - np.mean(seconds)
    determination = 1 - float(residual @ residual) / float(spread @ spread)
    return {
        "values": list(values),
        "seconds": list(seconds),
        "slope": float(slope),
        "constant": float(constant),
        "r2": determination,
    }
