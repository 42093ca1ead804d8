"""Short runs of CoPS in anomalib's Engine."""

from pathlib import Path

from anomalib.data import ImageBatch
from anomalib.engine import Engine

from anomalib_cops import CoPS, ZeroShotTransfer


def engine(folder: Path, **trainer: object) -> Engine:
    options = {"logger": False, "accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}
    return Engine(default_root_dir=folder, **{**options, **trainer})


def transfer(**options: object) -> ZeroShotTransfer:
    chosen = {
        "source_categories": ["leather", "washer"],
        "target_categories": ["carpet"],
        "synthetic_samples": 8,
        "synthetic_size": 64,
        "num_workers": 0,
        "train_batch_size": 4,
    }
    return ZeroShotTransfer(**{**chosen, **options})


def predict(model: CoPS, folder: Path, images: Path) -> list[ImageBatch]:
    return engine(folder).predict(model, data_path=images)
