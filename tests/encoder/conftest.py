"""Small random CLIPs in open_clip's own classes."""

from typing import Any

import open_clip
import pytest
import torch

SMALL: dict[str, Any] = {
    "embed_dim": 48,
    "vision_cfg": {"image_size": 32, "layers": 4, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 48, "heads": 2, "layers": 3},
    "quick_gelu": True,
}
IMAGE_SIZE = SMALL["vision_cfg"]["image_size"]


@pytest.fixture
def small() -> open_clip.CLIP:
    """A random CLIP whose layer norms and biases are not the identity."""
    torch.manual_seed(5)
    model = open_clip.CLIP(**SMALL).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, mean=0.3, std=0.3)
    return model


@pytest.fixture
def images() -> torch.Tensor:
    """Three normalised pictures."""
    return torch.randn(3, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(1))
