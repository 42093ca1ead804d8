"""The real work: train a model on a source, test it on the categories of a target, all through anomalib."""

import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from anomalib.engine import Engine
from lightning.pytorch import seed_everything
from lightning.pytorch.trainer.states import TrainerFn
from pandas import DataFrame

from anomalib_cops import ZeroShotTransfer
from anomalib_cops.errors import InputError
from anomalib_cops.plugin import MODELS

from . import models
from .cells import Cell, Training, slug
from .images import CachedImages, ImageCache, capped, digest
from .inference import infer
from .maps import packed_maps
from .metrics import score
from .pictures import packed_cases
from .quiet import quiet
from .results import Scores, TrainingRecord
from .work import Tested, Trained


class ModelRunner:
    """Trains and tests anomalib models.

    Args:
        root: Folder of published data sets.
        save_maps: Keep all anomaly maps.
        pictures: Cases per category that are kept for the gallery.
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
        self.cache = ImageCache()
        self._samples: dict[tuple[Any, ...], dict[str, DataFrame | InputError]] = {}

    def check(self, cell: Cell) -> None:
        """Look at what a person may have mistyped, before anything is run.

        Raises:
            InputError: Unknown models, options, data sets or categories.
        """
        models.check_options(cell.training.model, {**cell.training.options, **cell.test_options})
        _ = self._transfer(cell.training, cell.target, cell.target_categories).targets

    def survey(self, cell: Cell) -> dict[str, str]:
        """Categories with a digest of their test images; empty where they cannot be used."""
        tables = self._tables(cell)
        return {name: "" if isinstance(each, InputError) else digest(each) for name, each in tables.items()}

    def samples(self, cell: Cell, category: str) -> DataFrame:
        """The test images of a category.

        Raises:
            InputError: They cannot be used.
        """
        table = self._tables(cell)[category]
        if isinstance(table, InputError):
            raise InputError(str(table))
        return table

    def train(self, training: Training) -> Trained:
        """Learn from the source's labelled images, or find that there is nothing to learn."""
        started = time.monotonic()
        _reset_peak()
        seed_everything(training.seed, verbose=False)
        model = models.build_for_training(training.model, training.options)
        if not models.is_trainable(model):
            return Trained(training, TrainingRecord(time.monotonic() - started, 0, peak_memory()))
        # Any target would do: only the source is looked at. With itself as target the synthetic world is shared out.
        data = self._transfer(training, "synthetic")
        data.setup(TrainerFn.FITTING)
        data.train_data = self._cached(data.train_data.samples)
        data.val_data = self._cached(data.val_data.samples)
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

    def _cached(self, samples: DataFrame) -> CachedImages:
        return CachedImages(samples, self.cache)

    def _tables(self, cell: Cell) -> dict[str, DataFrame | InputError]:
        training = cell.training
        drawn = "synthetic" in (training.source, cell.target)
        key = (
            *(training.source, training.source_categories, cell.target, cell.target_categories),
            cell.images_per_category,
            *((training.seed, str(training.data.fixed)) if drawn else ()),
        )
        if key not in self._samples:
            data = self._transfer(training, cell.target, cell.target_categories)
            self._samples[key] = _listed(data, cell.images_per_category)
        return self._samples[key]

    def _transfer(self, training: Training, target: str, categories: tuple[str, ...] = ()) -> ZeroShotTransfer:
        data = training.data
        return ZeroShotTransfer(
            source=training.source,
            target=target,
            source_categories=list(training.source_categories) or None,
            target_categories=list(categories) or None,
            root=str(self.root) if self.root else None,
            train_batch_size=data.train_batch_size,
            eval_batch_size=data.eval_batch_size,
            num_workers=data.num_workers,
            val_fraction=data.val_fraction,
            seed=training.seed,
            synthetic_samples=data.synthetic_samples,
            synthetic_size=data.synthetic_size,
            synthetic_level=data.synthetic_level,
        )


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
        images = CachedImages(samples, runner.cache)
        _reset_peak()
        # So that a category's figures do not depend on which were tested before, whatever a model draws.
        seed_everything(cell.training.seed, verbose=False)
        with quiet():
            seen = infer(self._loaded(cell), images, category, cell.training.data, **_trainer(cell.training))
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


def _listed(data: ZeroShotTransfer, limit: int | None) -> dict[str, DataFrame | InputError]:
    """Test images by category; one by one only if there is something wrong with any, as the source is listed too."""
    try:
        sets = data.target_datasets
    except InputError:
        return {_category(name): _listed_alone(data, name, limit) for name in data.targets}
    return {_category(name): capped(each.samples, limit) for name, each in sets.items()}


def _listed_alone(data: ZeroShotTransfer, target: str, limit: int | None) -> DataFrame | InputError:
    try:
        return capped(data.only(target).target_datasets[target].samples, limit)
    except InputError as error:
        return error


def _category(target: str) -> str:
    return target.rsplit("/", 1)[1]


def _trainer(training: Training) -> dict[str, Any]:
    """Arguments of Lightning's trainer: nothing but the work."""
    return {
        "accelerator": training.data.device,
        "devices": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
