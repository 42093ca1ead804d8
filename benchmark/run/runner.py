"""The real work: train a model on a source, test it on the categories of a target, all through anomalib."""

import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from anomalib.engine import Engine
from lightning.pytorch import seed_everything
from lightning.pytorch.trainer.states import TrainerFn
from pandas import DataFrame

from anomalib_cops.data import LabelledImages
from anomalib_cops.data.seen import described
from anomalib_cops.errors import InputError
from anomalib_cops.plugin import MODELS

from ..measure.inference import infer
from ..measure.maps import packed_maps
from ..measure.metrics import score
from ..measure.pictures import packed_cases
from ..plan import models
from ..plan.cells import BETWEEN_SOURCES, Cell, DataSettings, Training, slug
from ..plan.images import CachedImages, ImageCache, digest
from ..plan.ready import ReadyWeights, canonical, contradicted, ready_weights, refuse_seen
from ..plan.resolved import check_test_options, resolve
from ..plan.transfers import Transfers
from ..quiet import quiet
from ..records.result import Scores, TrainingRecord
from .work import Tested, Trained


class ModelRunner:
    """Trains and tests anomalib models.

    Args:
        root: Folder of published data sets.
        save_maps: Keep all anomaly maps.
        pictures: Cases per category that are kept for the gallery.

    Attributes:
        notices: What a person should know of the configuration.
    """

    def __init__(self, root: Path | None = None, save_maps: bool = False, pictures: int = 0) -> None:
        self.root = root
        self.save_maps = save_maps
        self.pictures = pictures
        self._start()

    def __getstate__(self) -> dict[str, Any]:
        """Leaves what was read behind."""
        return {"root": self.root, "save_maps": self.save_maps, "pictures": self.pictures}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begins with nothing read."""
        self.__dict__.update(state)
        self._start()

    def _start(self) -> None:
        self.notices: list[str] = []
        self.cache = ImageCache()
        self.transfers = Transfers(self.root)

    def prepared(self, cells: Sequence[Cell]) -> list[Cell]:
        """Cells with all that decides on their figures, found out and looked at before anything is run.

        Raises:
            InputError: Unknown models, options, data sets or categories, values that are not allowed, or a test on what
                was trained on.
        """
        known: dict[str, tuple[Training, ReadyWeights | None]] = {}
        found = []
        for cell in cells:
            training = cell.training
            models.check_options(training.model, {**training.options, **cell.test_options})
            check_test_options(training, cell.test_options)
            if training.fingerprint not in known:
                known[training.fingerprint] = self._resolved(training)
            training, weights = known[training.fingerprint]
            found.append(replace(cell, training=training))
            categories = self.transfers.categories(found[-1])
            if weights is not None:
                self._refuse_seen(found[-1], weights, categories)
        return found

    def survey(self, cell: Cell) -> dict[str, str]:
        """Categories with a digest of their test images; empty where they cannot be used."""
        tables = self.transfers.tables(cell)
        return {name: "" if isinstance(each, InputError) else digest(each) for name, each in tables.items()}

    def samples(self, cell: Cell, category: str) -> DataFrame:
        """The test images of a category.

        Raises:
            InputError: They cannot be used.
        """
        table = self.transfers.tables(cell)[category]
        if isinstance(table, InputError):
            raise InputError(str(table))
        return table

    def train(self, training: Training) -> Trained:
        """Learn from the source's labelled images, or find that there is nothing to learn."""
        started = time.monotonic()
        if training.is_ready:
            return Trained(training, TrainingRecord(0.0, 0, peak_memory()))
        _reset_peak()
        seed_everything(training.seed, verbose=False)
        model = models.build_for_training(training.model, training.options)
        if not models.is_trainable(model):
            return Trained(training, TrainingRecord(time.monotonic() - started, 0, peak_memory()))
        data = self.transfers.learned(training)
        data.setup(TrainerFn.FITTING)
        data.train_data = self.images(data.train_data.samples, training.data)
        data.val_data = self.images(data.val_data.samples, training.data)
        with tempfile.TemporaryDirectory() as scratch, quiet():
            engine = Engine(default_root_dir=scratch, **_trainer(training))
            engine.fit(model, train_dataloaders=None, datamodule=data)
            path = models.save(model, engine.trainer, Path(scratch))
            weights = path.read_bytes()
        record = TrainingRecord(
            seconds=time.monotonic() - started,
            images=len(data.train_data),
            peak_memory=peak_memory(),
            categories=sorted(data.train_data.samples["category"].unique()),
            weights=path.name,
        )
        return Trained(training, record, weights)

    def open(self, cell: Cell, folder: Path) -> "ModelTester":
        """Load what was trained."""
        return ModelTester(self, cell, folder)

    def images(self, samples: DataFrame, settings: DataSettings) -> LabelledImages:
        """Images as they are read: once for all rows where this process reads them, as workers keep nothing for it."""
        return LabelledImages(samples) if settings.num_workers else CachedImages(samples, self.cache)

    def _resolved(self, training: Training) -> tuple[Training, ReadyWeights | None]:
        """With what its options come to; where weights are among them, what these were trained on is the source."""
        weights = ready_weights(training)
        resolved = resolve(training, weights)
        if weights is None:
            return replace(training, resolved=resolved), None
        if notice := contradicted(training, weights):
            self.notices.append(notice)
        source = BETWEEN_SOURCES.join(each["set"] for each in weights.trained_on)
        return replace(training, resolved=resolved, source_id=source), weights

    def _refuse_seen(self, cell: Cell, weights: ReadyWeights, categories: list[str]) -> None:
        """By name, whether the images are there or not, and by the images that are there."""
        refuse_seen(cell, weights, {"set": canonical(cell.target_id), "categories": categories})
        for each in self.transfers.whole_tables(cell).values():
            if isinstance(each, DataFrame):
                for target in described(each, None):
                    refuse_seen(cell, weights, target)


class ModelTester:
    """A trained model on its way through categories.

    Args:
        runner: Lists and reads images.
        cell: Says which model.
        folder: Holds the record of its training, and its weights.
    """

    def __init__(self, runner: ModelRunner, cell: Cell, folder: Path) -> None:
        self._runner = runner
        self._options = {**cell.training.options, **cell.test_options}
        names = (models.WEIGHTS, models.CHECKPOINT)
        self._weights = next((folder / name for name in names if (folder / name).is_file()), None)
        self._model: Any = None

    def test(self, cell: Cell, category: str) -> Tested:
        """Scores and maps of one category, and their figures."""
        started = time.monotonic()
        runner = self._runner
        samples = runner.samples(cell, category)
        images = runner.images(samples, cell.training.data)
        _reset_peak()
        # So that a category's figures do not depend on which were tested before, whatever a model draws.
        seed_everything(cell.training.seed, verbose=False)
        with quiet():
            seen = infer(
                self._loaded(cell),
                images,
                category,
                cell.training.data,
                all_maps=runner.save_maps or runner.pictures > 0,
                **_trainer(cell.training),
            )
        files: dict[str, bytes] = {}
        if runner.save_maps:
            files[f"maps/{cell.fingerprint}/{slug(category)}.npz"] = packed_maps(seen)
        if runner.pictures:
            files[f"pictures/{cell.fingerprint}/{slug(category)}.json"] = packed_cases(seen, samples, runner.pictures)
        labels = samples["label_index"]
        scores = Scores(
            scores=score(seen.predictions),
            normal=int((labels == 0).sum()),
            anomalous=int((labels == 1).sum()),
            images=digest(samples),
            seconds=seen.seconds,
            total_seconds=time.monotonic() - started,
            peak_memory=peak_memory(),
        )
        return Tested(cell, category, scores, files)

    def _loaded(self, cell: Cell) -> Any:
        """The model; models that are not of this package may fix a category's name in themselves: a new one each."""
        if self._model is None or cell.training.model not in MODELS:
            self._model = models.load(cell.training.model, self._options, self._weights)
        return self._model


def peak_memory() -> int:
    """Bytes: of the accelerator since the last reset where there is one, else of this process so far."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _reset_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _trainer(training: Training) -> dict[str, Any]:
    """Arguments of Lightning's trainer: nothing but the work."""
    return {
        "accelerator": training.data.device,
        "devices": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
