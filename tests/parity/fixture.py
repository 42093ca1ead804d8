"""A fixture's arrays as tensors, and its frozen encoder; the same for all methods."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.encoder.load import build


class Fixture:
    """A fixture's arrays and encoder."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays

    def group(self, prefix: str) -> dict[str, Tensor]:
        """All arrays under a prefix, as float32."""
        found = {k.removeprefix(prefix): v for k, v in self.arrays.items() if k.startswith(prefix)}
        return {name: torch.from_numpy(value).float() for name, value in found.items()}

    def tensor(self, name: str) -> Tensor:
        """One array, as float32."""
        return torch.from_numpy(self.arrays[name]).float()

    def clip(self, image_size: int, *, quick_gelu: bool = True, **positions: Any) -> FrozenCLIP:
        """The frozen encoder; sizes are read off the weights, as CLIP has one head per 64 channels.

        Args:
            image_size: side of the images.
            quick_gelu: activation, as the official code has it.
            positions: how the position table is fitted to the images; see ``FrozenCLIP``.
        """
        state = self.group("clip.")
        state.setdefault("logit_scale", torch.tensor(0.0))
        vision, text = state["visual.conv1.weight"], state["token_embedding.weight"]
        native = int((len(state["visual.positional_embedding"]) - 1) ** 0.5)
        config = {
            "embed_dim": state["text_projection"].shape[1],
            "quick_gelu": quick_gelu,
            "vision_cfg": {
                "image_size": native * vision.shape[-1],
                "patch_size": vision.shape[-1],
                "width": vision.shape[0],
                "layers": blocks(state, "visual.transformer."),
            },
            "text_cfg": {
                "context_length": len(state["positional_embedding"]),
                "vocab_size": len(text),
                "width": text.shape[1],
                "heads": max(1, text.shape[1] // 64),
                "layers": blocks(state, "transformer."),
            },
        }
        return FrozenCLIP(build(config, state, source="fixture"), image_size, **positions)


def blocks(state: dict[str, Tensor], prefix: str) -> int:
    """Number of transformer blocks under a prefix."""
    return len({name.split("resblocks.")[1].split(".")[0] for name in state if name.startswith(f"{prefix}resblocks.")})
