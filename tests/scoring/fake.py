"""A predictor that costs no time: an image's score is its mean level."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anomalib_cops.errors import InputError
from anomalib_cops.inference.regions import Region

REFUSED = 251
"""Grey level of images that the model refuses."""
DEADLY = 252
"""Grey level of images that end the process of the model, the first time."""


@dataclass
class FakeResult:
    path: str
    size: tuple[int, int]
    score: float
    label: bool | None = True
    threshold: float | None = 0.5
    regions: list[Region] = field(default_factory=list)

    def draw(self) -> Image.Image:
        return Image.new("L", (1, 1))


@dataclass
class FakePredictor:
    batch_size: int = 1
    model: str = "fake"
    pause: float = 0.0
    died: str = ""
    input_size: tuple[int, int] | None = None
    calls: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = {"model": self.model, "thresholds": {"image": 0.5, "pixel": float("nan")}, "a": (1,)}

    def __call__(self, images: Sequence[Any]) -> list[FakeResult]:
        self.calls.append(len(images))
        time.sleep(self.pause)
        return [self._result(image) for image in images]

    def _result(self, image: Any) -> FakeResult:
        height, width, _ = image.levels.shape
        level = int(image.levels.max())
        if level == REFUSED:
            raise InputError(f"{image.name} is refused.")
        if level == DEADLY and self.died and not Path(self.died).exists():
            Path(self.died).touch()
            os.kill(os.getpid(), 9)
        score = float(np.float32(image.levels.mean() / 255))
        regions = [Region((0, 0, 1, 1), 1, score, [(0, 0), (1, 0), (1, 1), (0, 1)])] if score > 0.5 else []
        return FakeResult(image.name, (width, height), score, score > 0.5, 0.5, regions)

    def __enter__(self) -> "FakePredictor":
        return self

    def __exit__(self, *_: object) -> None:
        return None


def save_image(path: Path, level: int, size: tuple[int, int] = (3, 2)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, level).save(path)
    return path
