"""Test a trained model category by category."""

import time
from pathlib import Path
from typing import Any, Protocol

from lightning.pytorch import seed_everything
from pandas import DataFrame

from anomalib_cops.data import LabelledImages

from ..measure.inference import infer
from ..measure.maps import pack_maps
from ..measure.memory import peak_memory, reset_peak_memory
from ..measure.metrics import score
from ..measure.pictures import pack_cases
from ..own_models import is_own_model
from ..plan.cells import Cell, Training
from ..plan.data_settings import DataSettings
from ..plan.names import slug
from ..plan.samples import samples_digest
from ..quiet import quiet
from ..records.result import Scores
from . import models
from .events import Tested


class ImageSource(Protocol):
    """Lists and reads test images, and says what to keep of them; see ``ModelRunner``."""

    save_maps: bool
    pictures: int

    def samples(self, cell: Cell, category: str) -> DataFrame:
        """List the test images of a category."""
        ...

    def images(self, samples: DataFrame, settings: DataSettings) -> LabelledImages:
        """Make a data set of images."""
        ...


class ModelTester:
    """A trained model, and what it takes to test it.

    Args:
        source: Lists and reads the test images.
        cell: Cell whose model is tested, or one with the same training and test options.
        folder: Folder with the weights of its training.
    """

    def __init__(self, source: ImageSource, cell: Cell, folder: Path) -> None:
        self._source = source
        self._options = {**cell.training.options, **cell.test_options}
        names = (models.WEIGHTS, models.CHECKPOINT)
        self._weights = next((folder / name for name in names if (folder / name).is_file()), None)
        self._model: Any = None

    def test(self, cell: Cell, category: str) -> Tested:
        """Compute scores and maps of one category, and its figures."""
        start = time.monotonic()
        source = self._source
        samples = source.samples(cell, category)
        images = source.images(samples, cell.training.data)
        reset_peak_memory()
        # So that figures do not depend on which categories were tested before, also if a model draws random numbers.
        seed_everything(cell.training.seed, verbose=False)
        with quiet():
            output = infer(
                self._loaded(cell),
                images,
                category,
                cell.training.data,
                all_maps=source.save_maps or source.pictures > 0,
                **trainer_arguments(cell.training),
            )
        files: dict[str, bytes] = {}
        if source.save_maps:
            files[f"maps/{cell.fingerprint}/{slug(category)}.npz"] = pack_maps(output)
        if source.pictures:
            files[f"pictures/{cell.fingerprint}/{slug(category)}.json"] = pack_cases(output, samples, source.pictures)
        labels = samples["label_index"]
        scores = Scores(
            scores=score(output.predictions),
            normal=int((labels == 0).sum()),
            anomalous=int((labels == 1).sum()),
            images=samples_digest(samples),
            seconds=output.seconds,
            total_seconds=time.monotonic() - start,
            peak_memory=peak_memory(),
        )
        return Tested(cell, category, scores, files)

    def _loaded(self, cell: Cell) -> Any:
        """Return the model. Foreign models are loaded for each category, as some keep the first category's name."""
        if self._model is None or not is_own_model(cell.training.model):
            self._model = models.load(cell.training.model, self._options, self._weights)
        return self._model


def trainer_arguments(training: Training) -> dict[str, Any]:
    """Return arguments for Lightning's trainer: one device, and neither logs nor progress bars."""
    return {
        "accelerator": training.data.device,
        "devices": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
