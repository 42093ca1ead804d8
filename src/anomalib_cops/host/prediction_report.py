"""Report of a prediction: a new folder with scores and pictures, and a line that says where they are."""

import logging
from itertools import chain, count
from pathlib import Path
from typing import Any

from anomalib.visualization import ImageVisualizer
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from anomalib_cops.host.label_threshold import label_threshold
from anomalib_cops.host.returned_predictions import ReturnedPredictions
from anomalib_cops.host.score_table import ScoreTable
from anomalib_cops.thresholds import LabelThreshold

logger = logging.getLogger(__name__)


class PredictionReport(Callback):
    """Callback that writes ``scores.csv``, gives the pictures a folder beside it, and says at the end where they are.

    Every prediction gets a new folder, so that predictions do not mix. Memory does not grow with the number of images:
    the command line, which does not use the returned predictions, does not collect them, and for other callers the
    large ones are kept on disk.

    The callback has to come after the post-processor, whose labels it writes, and after the visualizer, because it
    moves the tensors that the visualizer draws.

    Args:
        visualizer: Visualizer of the model.
    """

    def __init__(self, visualizer: Callback | None) -> None:
        self._visualizer = visualizer if isinstance(visualizer, ImageVisualizer) else None
        self._chose_pictures = False
        self._threshold: LabelThreshold | None = None
        self._table: ScoreTable | None = None
        self._returned: ReturnedPredictions | None = None

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the folder."""
        made = new_folder(Path(trainer.default_root_dir)) if trainer.is_global_zero else None
        folder = Path(trainer.strategy.broadcast(made))  # type: ignore[arg-type] # all processes use that of the first
        self._table = ScoreTable(folder, trainer.global_rank)
        if self._visualizer is not None and self._visualizer.output_dir is None:
            self._chose_pictures = True
            self._visualizer.output_dir = folder / "images"
        if _discards_predictions(trainer):
            trainer.predict_loop.return_predictions = False
        self._returned = ReturnedPredictions(folder) if trainer.predict_loop.return_predictions else None

    def on_predict_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look up the threshold, after the model has read references; warn if nobody calibrated it."""
        self._threshold = label_threshold(pl_module)
        if self._threshold is not None and not self._threshold.calibrated and trainer.is_global_zero:
            how = "anomalib-cops calibrate --help, or model.calibrate(folder)"
            logger.warning("%s", self._threshold.uncalibrated(how))

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the scores of a batch, and move its large tensors to the disk."""
        assert self._table is not None
        self._table.add(outputs, self._threshold)
        if self._returned is not None:
            self._returned.keep(outputs)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Complete the table and print where it is."""
        assert self._table is not None
        table = self._table
        pictures = None if self._visualizer is None else self._visualizer.output_dir
        self._close()
        trainer.strategy.barrier("scores")
        if trainer.is_global_zero:
            images = table.complete(trainer.world_size)
            shown = "no pictures (the visualizer is off)" if pictures is None else f"pictures in {pictures}"
            print(f"Scores of {images} image{'s' * (images != 1)} in {table.path}, {shown}")
            if self._threshold is not None:
                print(f"Labels by the threshold {self._threshold.value:g}, {self._threshold.origin}")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Say where the scores so far are."""
        if self._table is not None:
            logger.warning("Prediction stopped early; the scores so far are in %s.", self._close())

    def _close(self) -> Path | None:
        """Close all files, and return the path of the unfinished table."""
        part = self._table.close() if self._table is not None else None
        self._table = None
        if self._returned is not None:
            self._returned.close()
            self._returned = None
        if self._visualizer is not None and self._chose_pictures:
            self._visualizer.output_dir = None
            self._chose_pictures = False
        return part


def new_folder(root: Path) -> Path:
    """Make the first of the folders ``predictions``, ``predictions-2``, … that does not exist, and return it."""
    for name in chain(["predictions"], (f"predictions-{number}" for number in count(2))):
        try:
            (root / name).mkdir(parents=True)
        except FileExistsError:
            continue
        return (root / name).resolve()
    raise AssertionError("there is always another number")


def _discards_predictions(trainer: Trainer) -> bool:
    """Tell whether ``anomalib predict`` runs: only its configuration, which a callback saves, has this setting."""
    return any(
        isinstance(each, SaveConfigCallback) and "return_predictions" in each.config
        for each in trainer.callbacks  # type: ignore[attr-defined]
    )
