"""Look into checkpoints before Lightning loads them, wherever their path comes from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
from lightning.fabric.plugins import CheckpointIO

from anomalib_cops.weights.format import CHECKPOINT_KEY, MODEL, WEIGHT_SUFFIX
from anomalib_cops.weights.header import THRESHOLDS, WeightFile


class CheckedCheckpointIO(CheckpointIO):
    """Wrap another CheckpointIO and check each file before it is loaded.

    Args:
        inner: reads and writes the files.
        prepare: is called with the path. It gets the model ready and returns the content of the file, or raises if the
            file cannot be used.
    """

    def __init__(self, inner: CheckpointIO, prepare: Callable[[Path], WeightFile]) -> None:
        self.inner = inner
        self.prepare = prepare

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Pass the call on."""
        self.inner.save_checkpoint(checkpoint, path, storage_options)

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Check the file, then load it; turn a weight file into a checkpoint without the state of a training."""
        path = expanded(path)
        file = self.prepare(path)
        return (
            as_checkpoint(file) if path.suffix == WEIGHT_SUFFIX else self.inner.load_checkpoint(path, *args, **kwargs)
        )

    def remove_checkpoint(self, path: Any) -> None:
        """Pass the call on."""
        self.inner.remove_checkpoint(path)

    def teardown(self) -> None:
        """Pass the call on."""
        self.inner.teardown()


def expanded(path: Any) -> Path:
    """Replace ``~`` by the home folder, also where anomalib has put the working folder in front of it."""
    path = Path(path)
    if "~" in path.parts and not path.exists():
        path = Path(*path.parts[path.parts.index("~") :])
    return path.expanduser()


def as_checkpoint(file: WeightFile) -> dict[str, Any]:
    """Turn a weight file into what Lightning loads for a test or a prediction."""
    thresholds = {f"post_processor.{THRESHOLDS[name]}": v for name, v in file.tensors.items() if name in THRESHOLDS}
    return {
        "state_dict": {**{f"{MODEL}{name}": t for name, t in (file.trained | file.memory).items()}, **thresholds},
        "pytorch-lightning_version": lightning.__version__,
        CHECKPOINT_KEY: file.metadata(),
    }
