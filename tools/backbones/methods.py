"""Run methods on towers without weights, to see whether they fit and to count operations."""

from typing import Any
from unittest import mock

import torch
from torch import nn

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.models.cached_text import CachedText
from anomalib_cops.registry import MODELS
from benchmark.speed.stopwatch import gflop
from benchmark.speed.weightless import NoInitialValues


def method_on(clip: FrozenCLIP, name: str, **settings: Any) -> nn.Module:
    """Return the torch model of a method on an encoder of :func:`encoder_of`.

    Raises:
        InputError: the method refuses the encoder with these settings.
    """
    method = MODELS[name].method
    with NoInitialValues():
        model: nn.Module = method.build(clip, method.make_settings(settings))
    return model


@torch.no_grad()
def gflop_of_method(model: Any) -> float:
    """Move a model of :func:`method_on` to the meta device, and return the GFLOP to predict one image.

    Text that is the same for all images is not counted.
    """
    model = model.to("meta").requires_grad_(False)
    for module in model.modules():
        if isinstance(module, CachedText):
            module.value = module._compute()
    size = model.clip.image_size
    images = torch.empty(1, 3, size, size, device="meta")
    # Whether weights have changed cannot be seen without values.
    with mock.patch.object(CachedText, "_has_changed", return_value=False):
        return gflop(lambda: model.eval()(images))
