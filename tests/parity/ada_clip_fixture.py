"""A fixture of AdaCLIP: models with its weights, and how near they have to come."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from anomalib_cops.models.ada_clip.official import KEYS
from anomalib_cops.models.ada_clip.settings import AdaCLIPSettings
from anomalib_cops.models.ada_clip.torch_model import AdaCLIPModel
from anomalib_cops.weights.official import from_official
from tests.parity.fixture import Fixture


@dataclass(frozen=True)
class Tolerance:
    """Absolute for what is at most 1, else a share of the stored array's root mean square."""

    stage: float
    loss: float
    gradient: float


# A prompt that lies between two float16 numbers goes to either; nothing else is allowed to differ by as much.
ROUNDED, EXACT = Tolerance(1e-3, 1e-3, 5e-3), Tolerance(1e-4, 1e-4, 1e-3)
Stages = dict[str, Tensor]


class AdaCLIPFixture(Fixture):
    """The learner's weights too, and models with them."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        super().__init__(arrays)
        self.config = json.loads(str(arrays["in.config"]))
        self.classes: list[str] = json.loads(str(arrays["in.classes"]))
        self.learner = self.group("learner.")
        self.images = self.tensor("in.image")
        self.seeds = [int(seed) for seed in arrays["in.kmeans_seed"]]
        self.encoder = self.clip(self.images.shape[-1], quick_gelu=False, position_resize="bicubic")

    def model(self, **settings: Any) -> AdaCLIPModel:
        """AdaCLIP with the fixture's sizes, its weights and the given settings."""
        chosen = AdaCLIPSettings(
            branch=self.config.get("branch", "VL"),
            prompts=self.config.get("type", "SD"),
            depth=self.config["depth"],
            length=self.config["length"],
            layers=tuple(self.config["features"]),
            clusters=self.config["k_clusters"],
            seed=self.seeds[0],
        )
        model = AdaCLIPModel(self.encoder, replace(chosen, **settings))
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        wanted = {*KEYS.unused(trained), *(official for name in trained for official in KEYS.names(name))}
        # Variants leave prompts away; what the whole model has must be all that there is.
        whole = not {"branch", "prompts"} & set(settings) and chosen.depth > 1
        official = {name: value for name, value in self.learner.items() if whole or name in wanted}
        model.load_state_dict(from_official(official, trained, KEYS, "fixture"), strict=False)
        return model

    def singles(self, model: AdaCLIPModel) -> Iterable[tuple[int, Tensor, str]]:
        """Images one by one with their class names; k-means starts from the image's own seed."""
        for index, (image, name, seed) in enumerate(zip(self.images.split(1), self.classes, self.seeds, strict=True)):
            model.settings = replace(model.settings, seed=seed)
            yield index, image, name

    def batch(self, rows: list[int]) -> tuple[Tensor, Tensor, Tensor, list[str]]:
        """Images, masks, labels and class names."""
        masks, labels = self.tensor("in.mask")[rows, 0], self.tensor("in.label")[rows]
        return self.images[rows], masks, labels, [self.classes[row] for row in rows]
