"""Train models on a source and test them on the categories of a target, all through anomalib."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from anomalib.engine import Engine
from lightning.pytorch import seed_everything
from lightning.pytorch.trainer.states import TrainerFn
from pandas import DataFrame

from anomalib_cops.data import LabelledImages
from anomalib_cops.data.train_test_overlap import data_records
from anomalib_cops.errors import InputError

from ..measure.memory import peak_memory, reset_peak_memory
from ..plan.backbones import refuse_same_backbones
from ..plan.cells import Cell, Training
from ..plan.data_settings import DataSettings
from ..plan.datamodules import Datamodules
from ..plan.entries import FITTED_ON_REFERENCES
from ..plan.model_class import check_options
from ..plan.names import BETWEEN_SOURCES
from ..plan.ready_weights import ReadyWeights, catalogue_name, find_ready_weights, refuse_seen, source_mismatch
from ..plan.reference_pool import CategoryImages
from ..plan.resolved import check_test_options, resolve
from ..quiet import quiet
from ..records.result import TrainingRecord
from . import models
from .events import Trained
from .image_cache import CachedImages, ImageCache
from .references import check_model
from .tester import ModelTester, trainer_arguments


class ModelRunner:
    """Train and test anomalib models.

    Args:
        root: Folder of published data sets.
        save_maps: Keep all anomaly maps.
        pictures: Cases per category to keep for the gallery.

    Attributes:
        notices: Sentences about the configuration that the user should read.
    """

    def __init__(self, root: Path | None = None, save_maps: bool = False, pictures: int = 0) -> None:
        self.root = root
        self.save_maps = save_maps
        self.pictures = pictures
        self._reset()

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the arguments, but nothing that was read."""
        return {"root": self.root, "save_maps": self.save_maps, "pictures": self.pictures}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickle with nothing read."""
        self.__dict__.update(state)
        self._reset()

    def _reset(self) -> None:
        self.notices: list[str] = []
        self.cache = ImageCache()
        self.datamodules = Datamodules(self.root)

    def prepare(self, cells: Sequence[Cell]) -> list[Cell]:
        """Resolve the options of cells and check them before anything is run.

        Raises:
            InputError: A model, option, data set or category is unknown, a value is not allowed, a cell tests what its
                weights were trained on, or two backbones are the same.
        """
        resolved: dict[str, tuple[Training, ReadyWeights | None]] = {}
        prepared = []
        for cell in cells:
            training = cell.training
            check_options(training.model, {**training.options, **cell.test_options})
            check_test_options(training, cell.test_options)
            check_model(cell)
            if training.fingerprint not in resolved:
                resolved[training.fingerprint] = self._resolve(training)
            training, weights = resolved[training.fingerprint]
            prepared.append(replace(cell, training=training))
            categories = self.datamodules.categories(prepared[-1])
            if weights is not None:
                self._refuse_seen(prepared[-1], weights, categories)
        refuse_same_backbones(prepared)
        return prepared

    def survey(self, cell: Cell) -> dict[str, str]:
        """List the categories of a cell with a digest of their test images, empty where they cannot be used."""
        images = self.datamodules.images(cell)
        return {name: "" if isinstance(each, InputError) else each.digest for name, each in images.items()}

    def samples(self, cell: Cell, category: str) -> CategoryImages:
        """List the test images of a category, and the images that references are taken from.

        Raises:
            InputError: They cannot be used.
        """
        images = self.datamodules.images(cell)[category]
        if isinstance(images, InputError):
            raise InputError(str(images))
        return images

    def train(self, training: Training) -> Trained:
        """Train on the source's labelled images; a model without anything to train returns a record of 0 images."""
        start = time.monotonic()
        if not training.learns_from_source:
            return Trained(training, TrainingRecord(0.0, 0, peak_memory()))
        reset_peak_memory()
        seed_everything(training.seed, verbose=False)
        model = models.build(training.model, training.options)
        if not models.is_trainable(model):
            return Trained(training, TrainingRecord(time.monotonic() - start, 0, peak_memory()))
        data = self.datamodules.for_training(training)
        data.setup(TrainerFn.FITTING)
        data.train_data = self.images(data.train_data.samples, training.data)
        data.val_data = self.images(data.val_data.samples, training.data)
        with tempfile.TemporaryDirectory() as scratch, quiet():
            engine = Engine(default_root_dir=scratch, **trainer_arguments(training))
            engine.fit(model, train_dataloaders=None, datamodule=data)
            path = models.save(model, engine.trainer, Path(scratch))
            weights = path.read_bytes()
        record = TrainingRecord(
            seconds=time.monotonic() - start,
            images=len(data.train_data),
            peak_memory=peak_memory(),
            categories=sorted(data.train_data.samples["category"].unique()),
            weights=path.name,
        )
        return Trained(training, record, weights)

    def load(self, cell: Cell, folder: Path) -> ModelTester:
        """Prepare the test of what was trained; the weights are in ``folder``."""
        return ModelTester(self, cell, folder)

    def images(self, samples: DataFrame, settings: DataSettings) -> LabelledImages:
        """Make a data set of images, which are cached if this process reads them: workers would not share the cache."""
        return LabelledImages(samples) if settings.num_workers else CachedImages(samples, self.cache)

    def _resolve(self, training: Training) -> tuple[Training, ReadyWeights | None]:
        """Resolve the options of a training; where they name weights, the source is what these were trained on."""
        weights = find_ready_weights(training)
        resolved = resolve(training, weights)
        if training.is_fitted_on_references:
            # Tables name what was learned from; the source still decides which synthetic categories are tested.
            return replace(training, resolved=resolved, source_id=FITTED_ON_REFERENCES), None
        if weights is None:
            return replace(training, resolved=resolved), None
        if notice := source_mismatch(training, weights):
            self.notices.append(notice)
        source = BETWEEN_SOURCES.join(each["set"] for each in weights.trained_on)
        return replace(training, resolved=resolved, source_id=source), weights

    def _refuse_seen(self, cell: Cell, weights: ReadyWeights, categories: list[str]) -> None:
        """Compare target and weights by name, whether the images are there or not, then by the images that are there.

        Raises:
            InputError: The weights were trained on a category of the target.
        """
        refuse_seen(cell, weights, {"set": catalogue_name(cell.target_id), "categories": categories})
        for each in self.datamodules.all_samples(cell).values():
            if isinstance(each, DataFrame):
                for target in data_records(each, None):
                    refuse_seen(cell, weights, target)
