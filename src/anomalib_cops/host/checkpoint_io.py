"""Reading checkpoints: looked into before they are used, also where anomalib's Engine is told a path."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
from lightning.fabric.plugins import CheckpointIO

from anomalib_cops.weights.format import CHECKPOINT_KEY, MODEL, WEIGHT_SUFFIX
from anomalib_cops.weights.header import THRESHOLDS, WeightFile


class CheckedCheckpointIO(CheckpointIO):
    """Another CheckpointIO, with a look at the file before it is loaded.

    Args:
        inner: what reads and writes.
        prepare: called with the path; gets the model ready and returns what the file holds of it, or raises if the file
            cannot be used.
    """

    def __init__(self, inner: CheckpointIO, prepare: Callable[[Path], WeightFile]) -> None:
        self.inner = inner
        self.prepare = prepare

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """As the inner one does."""
        self.inner.save_checkpoint(checkpoint, path, storage_options)

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Check, then load as the inner one does; a weight file becomes a checkpoint without a training's state."""
        path = expanded(path)
        file = self.prepare(path)
        return (
            as_checkpoint(file) if path.suffix == WEIGHT_SUFFIX else self.inner.load_checkpoint(path, *args, **kwargs)
        )

    def remove_checkpoint(self, path: Any) -> None:
        """As the inner one does."""
        self.inner.remove_checkpoint(path)

    def teardown(self) -> None:
        """As the inner one does."""
        self.inner.teardown()


def expanded(path: Any) -> Path:
    """The path with ``~`` for the home folder, also where anomalib has made an absolute path of it."""
    path = Path(path)
    if "~" in path.parts and not path.exists():
        path = Path(*path.parts[path.parts.index("~") :])
    return path.expanduser()


def as_checkpoint(file: WeightFile) -> dict[str, Any]:
    """What Lightning loads for a test or a prediction, from a weight file."""
    thresholds = {f"post_processor.{THRESHOLDS[name]}": v for name, v in file.tensors.items() if name in THRESHOLDS}
    return {
        "state_dict": {**{f"{MODEL}{name}": value for name, value in file.trained.items()}, **thresholds},
        "pytorch-lightning_version": lightning.__version__,
        CHECKPOINT_KEY: file.metadata(),
    }
