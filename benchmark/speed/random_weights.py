"""Write random weights of a backbone's shapes to a file, so that models of real sizes need no download."""

from pathlib import Path
from typing import Any

import torch

from anomalib_cops.encoder.load import build, model_config
from anomalib_cops.encoder.tiny import STAND_INS


def random_weights(backbone: str, folder: str | Path) -> dict[str, Any]:
    """Write random half-precision weights, as published files are, and return the arguments of a model that has them.

    Args:
        backbone: open_clip name, or a stand-in, which has weights of its own.
        folder: Where to write the file.
    """
    if backbone in STAND_INS:
        return {"backbone": backbone}
    path = Path(folder) / "weights.pt"
    torch.manual_seed(0)
    torch.save({name: value.half() for name, value in build(model_config(backbone)).state_dict().items()}, path)
    return {"backbone": backbone, "pretrained": str(path), "quick_gelu": True}
