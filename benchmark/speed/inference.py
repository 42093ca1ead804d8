"""Measure the speed of inference: every method, stage by stage, beside open_clip's own ``encode_image``."""

import copy
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.encoder.load import build, model_config, native_image_size
from anomalib_cops.encoder.openvino_tower import OpenVINOTower
from anomalib_cops.encoder.trunk import OpenClipTrunk
from anomalib_cops.models.cops.settings import CoPSSettings
from anomalib_cops.models.cops.torch_model import CoPSModel

from ..own_models import own_model_names, own_model_parts
from .stages import stages
from .stopwatch import Task, gflop, interleaved
from .tables import REFERENCE

BY_OPENVINO = 'CoPS, runtime="openvino"/whole'
"""A prediction of CoPS whose image tower OpenVINO runs."""
MANY_SAMPLES = 100
"""Category tokens per image of a further measurement of CoPS; the published setting is 10."""


def measure_inference(backbone: str, device: str, repetitions: int) -> dict[str, Any]:
    """Measure seconds and arithmetic of one image, for open_clip and for every method and its stages.

    Args:
        backbone: open_clip name; its weights are random, as speed does not depend on them.
        device: "cpu" or "cuda".
        repetitions: Number of runs of every stage.
    """
    size = native_image_size(backbone)
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    torch.manual_seed(0)
    network = build(model_config(backbone)).to(device)
    # In half precision, as published weights are; open_clip's own call takes float32 only.
    stored = copy.deepcopy(network).half()
    models = {name: _model(name, stored, size, device) for name in own_model_names()}
    many_samples = CoPSModel(FrozenCLIP(stored, size), CoPSSettings(n_samples=MANY_SAMPLES))
    many_samples = many_samples.to(device).requires_grad_(False).eval()
    own_size = images_for_open_clip(network, models["CoPS"].clip, images)
    with TemporaryDirectory() as folder, torch.inference_mode():
        tasks: dict[str, Task] = {REFERENCE: lambda: network.encode_image(own_size)}
        for name, model in models.items():
            tasks |= {f"{name}/{stage}": task for stage, task in stages(name, model, images).items()}
        tasks[f"CoPS/rest, R={MANY_SAMPLES}"] = stages("CoPS", many_samples, images)["rest"]
        # These first runs warm up, too.
        operations = {name: gflop(task) for name, task in tasks.items()}
        if device == "cpu" and find_spec("openvino") is not None:
            by_openvino = _model("CoPS", stored, size, device)
            by_openvino.clip.graphs = OpenVINOTower(Path(folder))
            tasks[BY_OPENVINO] = partial(by_openvino, images)
            tasks[BY_OPENVINO]()
            # The same arithmetic, which cannot be counted there.
            operations[BY_OPENVINO] = operations["CoPS/vision"] + operations["CoPS/rest"]
        seconds = interleaved(tasks, repetitions)
    return {
        "backbone": backbone,
        "image_size": size,
        "works": {name: {"seconds": seconds[name], "gflop": operations[name]} for name in tasks},
    }


def images_for_open_clip(network: Any, clip: FrozenCLIP, images: Tensor) -> Tensor:
    """Return images that open_clip's own ``encode_image`` takes.

    Args:
        network: open_clip's model. The position table of open_clip's own tower is replaced by that of the encoder.
        clip: our encoder with the same architecture.
        images: images of its size, which are returned if they fit. timm's towers take images of the configuration's
            size alone, border pixels without a patch included.
    """
    if isinstance(clip.image.trunk, OpenClipTrunk):
        assert clip.positions is not None
        network.visual.positional_embedding.data = clip.positions.clone()
        return images
    return torch.randn(len(images), 3, *network.visual.image_size, device=images.device)


def _model(name: str, network: Any, size: int, device: str) -> Any:
    parts = own_model_parts(name)
    clip = FrozenCLIP(network, size, position_resize=parts.position_resize, position_antialias=parts.position_antialias)
    # The hooks that count operations cannot handle parameters with gradients.
    model: Any = parts.build(clip, parts.settings())
    return model.to(device).requires_grad_(False).eval()
