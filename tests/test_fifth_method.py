"""Test that one folder and one registry entry make a method known to anomalib, benchmark, speed table and docs."""

import sys
from pathlib import Path

import pytest
import torch

from anomalib_cops import plugin
from anomalib_cops.registry import METHODS, MODELS, Entry
from benchmark.plan.data_settings import DataSettings
from benchmark.plan.entries import MethodConfig, Transfer
from benchmark.plan.matrix import Matrix
from benchmark.records.store import Store
from benchmark.run.local import LocalExecutor
from benchmark.run.runner import ModelRunner
from benchmark.run.schedule import Schedule
from benchmark.speed.inference import measure_inference
from tests.benchmark.fake import RUN, Silent
from tests.models.good_images import write
from tools.method_tables import methods_table, settings_table

FOLDER = {
    "settings.py": '''
"""Declare the settings of Direction."""

from dataclasses import dataclass
from typing import ClassVar

PRESETS = {"default": {"epochs": 1, "learning_rate": 0.1}}


@dataclass(frozen=True)
class DirectionSettings:
    """What can be chosen.

    Attributes:
        free_at_test: what a test may change.
        sharpness: factor of the cosine before it becomes a probability.
    """

    free_at_test: ClassVar[frozenset[str]] = frozenset({"sharpness"})

    sharpness: float = 5.0
''',
    "torch_model.py": '''
"""Direction in plain torch: one learned direction from normal to anomalous."""

import torch
from torch import nn
from torch.nn import functional as F

from anomalib_cops.alignment import enlarge, to_grid
from anomalib_cops.encoder import ImageFeatures
from anomalib_cops.losses import binary_cross_entropy
from anomalib_cops.models.patch_memory import FewShotModel


class DirectionModel(FewShotModel):
    frozen_features = ImageFeatures
    taps = ("last",)
    loss_terms = ("pixel",)

    def __init__(self, clip, settings):
        super().__init__()
        self.clip = clip
        self.settings = settings
        self.direction = nn.Parameter(torch.zeros(clip.dim).normal_())

    def encode(self, images):
        return self.clip.image.encode(images, layers=[self.clip.depth], describe=self.memory is not None)

    def maps(self, images, features=None):
        patches = (features or self.encode(images)).patches[-1]
        cosine = F.cosine_similarity(patches, self.direction, dim=-1)
        return enlarge(to_grid((self.settings.sharpness * cosine).sigmoid()[None]), self.clip.image_size)[0]

    @torch.no_grad()
    def forward(self, images, features=None):
        features = features or self.encode(images)
        maps = self.maps(images, features)
        return self.predict(maps.flatten(1).amax(dim=1), maps, features.descriptors)

    def loss(self, images, masks, labels, features=None):
        pixel = binary_cross_entropy(self.maps(images, features), masks)
        return {"pixel": pixel, "loss": pixel}
''',
    "lightning_model.py": '''
"""Direction as an anomalib model."""

from anomalib.models import AnomalibModule

from anomalib_cops.host.prompt_learning import PromptLearningMixin
from anomalib_cops.models.method import Method
from anomalib_cops.weights.official import KeyMap
from fifth_method.settings import PRESETS, DirectionSettings
from fifth_method.torch_model import DirectionModel

METHOD = Method("Direction", DirectionSettings, DirectionModel, PRESETS, KeyMap())


class Direction(PromptLearningMixin, AnomalibModule, method=METHOD):
    """One learned direction."""
''',
    "__init__.py": "",
}


@pytest.fixture
def fifth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write and register a method in another package."""
    folder = tmp_path / "fifth_method"
    folder.mkdir()
    for name, code in FOLDER.items():
        (folder / name).write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("fifth_method")]:
        del sys.modules[name]
    entry = Entry("Direction", "fifth_method", "Direction", "One Direction, 2026", "0000.00000", "https://example.org")
    monkeypatch.setitem(METHODS, "Direction", entry)
    yield "Direction"
    import anomalib.models

    if hasattr(anomalib.models, "Direction"):
        del anomalib.models.Direction
    anomalib.models.ALLOWED_MODULES.discard("fifth_method")
    # The modules stay loaded: command lines import every subclass of AnomalibModule, and a class cannot be forgotten.


def test_a_fifth_method_is_known_everywhere(fifth: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from anomalib.models import get_model

    plugin.register()
    model = get_model(fifth, backbone="tiny", sharpness=3.0)
    assert model.model.settings.sharpness == 3.0
    path = model.save_weights(tmp_path / "direction.safetensors")
    assert type(model)(weights=str(path)).model.settings.sharpness == 3.0
    assert len(model.load_references(write(tmp_path / "good", 2)).files) == 2

    assert "| `Direction` | [Direction](https://example.org): One Direction, 2026," in methods_table()
    assert "| `sharpness` | 5.0 | Factor of the cosine" in settings_table(MODELS[fifth].method)

    data = DataSettings(
        images_per_category=6, synthetic_samples=8, synthetic_size=64, train_batch_size=4, num_workers=0, device="cpu"
    )
    rows, transfer = (
        [MethodConfig("Mine", fifth, {"sharpness": 2.0})],
        Transfer("synthetic", ["synthetic"], ["leather"]),
    )
    matrix = Matrix(rows, [transfer], backbone="tiny", data=data)
    matrix.check()
    runner = ModelRunner(tmp_path, save_maps=False, pictures=0)
    store = Store(tmp_path / "results")
    report = Schedule(runner.prepare(matrix.cells(tmp_path)), store, runner, LocalExecutor(), Silent(), RUN).run()
    assert report.failures == []
    ((_, result),) = store.results()
    assert result.method == "Mine" and all(each.scores["P-AUROC"] >= 0 for each in result.categories.values())

    monkeypatch.setattr("benchmark.speed.inference.own_model_names", lambda: (fifth, "CoPS"))
    works = measure_inference("tiny", "cpu", 1)["works"]
    assert works["Direction/whole"]["seconds"]["median"] > 0


def test_a_setting_without_a_meaning_is_refused() -> None:
    from dataclasses import dataclass

    from anomalib_cops.models.arguments import arguments_of

    @dataclass(frozen=True)
    class Silent:
        """Undocumented settings."""

        sigma: float = 1.0

    with pytest.raises(TypeError, match="does not say what its field 'sigma' means"):
        arguments_of(Silent)


def test_entries_name_classes_and_methods_that_are_there() -> None:
    for name, entry in MODELS.items():
        assert entry.lightning_class.__name__ == name == entry.method.name
    assert torch.is_grad_enabled()
