"""Make a randomly initialised model of a backbone, at its real size or a small one."""

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import open_clip
import pytest
import timm
import torch

from anomalib_cops.encoder import FrozenCLIP, image_only_names
from anomalib_cops.encoder.load import build, model_config, patch_of
from anomalib_cops.encoder.supported import check_config
from anomalib_cops.encoder.tokenizer import Tokenizer, load_tokenizer
from tests.towers.tokenizers import save_tokenizer

GRID = 3
"""Patches along a side of a small tower's images."""


def known(backbone: str) -> str:
    """Skip the test of a backbone that the installed releases of open_clip and timm do not have."""
    if "dino" in backbone:
        if backbone not in image_only_names():
            pytest.skip(f"timm {version('timm')} has no {backbone}")
        return backbone
    if open_clip.get_model_config(backbone) is None:
        pytest.skip(f"open_clip {version('open_clip_torch')} has no {backbone}")
    releases = [tuple(int(n) for n in version(name).split(".")[:2]) for name in ("open_clip_torch", "transformers")]
    of_hub = open_clip.get_model_config(backbone)["text_cfg"].get("hf_tokenizer_name")
    if of_hub and releases[0] < (3, 3) and releases[1] >= (5, 0):
        pytest.skip("tokenizers of the hub need open_clip 3.3, or transformers 4 with earlier releases")
    return backbone


@dataclass(frozen=True)
class RandomTower:
    """A random model in open_clip's own class.

    Attributes:
        backbone: open_clip's name of the model, or timm's.
        model: open_clip's model, or an image tower alone.
        image_size: side of the images that it was built for; timm's may be larger than a multiple of the patch.
        tokenizer: its tokenizer, with stand-ins for those of the hub; None without a text tower.
        config: its configuration.
    """

    backbone: str
    model: Any
    image_size: int
    tokenizer: Tokenizer | None
    config: dict[str, Any]

    def frozen(self, image_size: int | None = None, **options: Any) -> FrozenCLIP:
        """Return our encoder on the same weights."""
        size = image_size or self.image_size // self.patch * self.patch
        return FrozenCLIP(self.model, size, name=self.backbone, tokenizer=self.tokenizer, **options)

    @property
    def patch(self) -> int:
        """Side of a patch in pixels."""
        return patch_of(self.config["vision_cfg"])


def random_tower(backbone: str, folder: Path, *, small: bool, seed: int = 0, text_layers: int = 10) -> RandomTower:
    """Make a random model of a backbone; its tokenizer is saved in ``folder`` if it is one of the hub's.

    A small model has ``text_layers`` text blocks.

    Raises:
        InputError: the backbone is unknown or not supported.
    """
    config = copy.deepcopy(model_config(backbone))
    check_config(config, backbone)
    if config.get("text_cfg", {}).get("hf_tokenizer_name"):
        tokens = save_tokenizer(config["text_cfg"], folder)
        config["text_cfg"]["vocab_size"] = tokens if small else max(tokens, config["text_cfg"]["vocab_size"])
    torch.manual_seed(seed)
    if small:
        config, options = shrunk(config, text_layers)
        with smaller_timm(options):
            model = build(config)
    else:
        model = build(config)
    randomize(model)
    tokenizer = load_tokenizer(config["text_cfg"], backbone, folder) if "text_cfg" in config else None
    return RandomTower(backbone, model.eval(), config["vision_cfg"].get("image_size", 224), tokenizer, config)


def shrunk(config: dict[str, Any], text_layers: int = 10) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the same architecture with few and narrow blocks, and the options that do the same to timm's model."""
    config = copy.deepcopy(config)
    vision, text = config["vision_cfg"], config.get("text_cfg", {})
    timm_name = vision.get("timm_model_name")
    patch = patch_of(vision)
    # Keep whether words are as wide as the joint space, and whether images are a multiple of the patches.
    config["embed_dim"] = 64 if text.get("width", 512) == config.get("embed_dim") else 80
    vision["image_size"] = GRID * patch + vision.get("image_size", 224) % patch
    if text:
        text |= {"layers": text_layers, "width": 64, "heads": 4}
    if not timm_name:
        head = vision.get("head_width", 64)
        vision |= {"layers": 4, "width": 2 * head}
        return config, {}
    # The stem of MobileCLIP has a fixed width.
    width, heads = (768, 12) if "mci" in timm_name else (config["embed_dim"], 4)
    return config, {"embed_dim": width, "depth": 4, "num_heads": heads, "img_size": vision["image_size"]}


@contextlib.contextmanager
def smaller_timm(options: dict[str, Any]) -> Iterator[None]:
    """Make timm's models with other sizes than their names say."""
    original = timm.create_model
    with mock.patch.object(timm, "create_model", lambda *names, **given: original(*names, **{**given, **options})):
        yield


def randomize(model: torch.nn.Module) -> None:
    """Replace parameters that are constant or tiny when they are made, so that all have an effect."""
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, mean=0.3, std=0.3)
        elif parameter.ndim > 1 and parameter.std() < 0.01:
            torch.nn.init.normal_(parameter, std=0.05)
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
        elif name.endswith("running_mean"):
            buffer.normal_(std=0.3)
