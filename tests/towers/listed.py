"""Let a small tower have the name of a real one, with weights and tokenizer in a local folder."""

from pathlib import Path

import pytest
import timm
from safetensors.torch import save_file

from anomalib_cops.encoder import load
from anomalib_cops.encoder.image_only import TRUNK
from anomalib_cops.encoder.load import model_config
from tests.towers.random_tower import RandomTower, known, random_tower, shrunk


def list_small_tower(
    backbone: str, folder: Path, monkeypatch: pytest.MonkeyPatch, text_layers: int = 10
) -> RandomTower:
    """Replace a backbone's configuration by its small one, and write its files as the hub holds them.

    ``pretrained=FOLDER`` finds weights and tokenizer there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tower = random_tower(known(backbone), folder, small=True, text_layers=text_layers)
    small = tower.config
    _, options = shrunk(model_config(backbone))
    others, create = load.model_config, timm.create_model
    monkeypatch.setattr(load, "model_config", lambda name: small if name == backbone else others(name))
    wanted = small["vision_cfg"].get("timm_model_name")
    monkeypatch.setattr(
        timm,
        "create_model",
        lambda name, **given: create(name, **{**given, **(options if name == wanted else {})}),
    )
    state = {name: value.clone() for name, value in tower.model.state_dict().items()}
    if tower.tokenizer is None:
        save_file({name.removeprefix(TRUNK): value for name, value in state.items()}, folder / "model.safetensors")
    else:
        save_file(state, folder / "open_clip_model.safetensors")
    return tower
