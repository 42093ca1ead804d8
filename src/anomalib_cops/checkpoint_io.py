"""Reading checkpoints: looked into before they are used, also where anomalib's Engine is told a path."""

from collections.abc import Callable
from typing import Any

from lightning.fabric.plugins import CheckpointIO


class CheckedCheckpointIO(CheckpointIO):
    """Another CheckpointIO, with a look at the file before it is loaded.

    Args:
        inner: what reads and writes.
        check: called with the path; raises if the file cannot be used.
    """

    def __init__(self, inner: CheckpointIO, check: Callable[[Any], None]) -> None:
        self.inner = inner
        self.check = check

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """As the inner one does."""
        self.inner.save_checkpoint(checkpoint, path, storage_options)

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Check, then load as the inner one does."""
        self.check(path)
        return self.inner.load_checkpoint(path, *args, **kwargs)

    def remove_checkpoint(self, path: Any) -> None:
        """As the inner one does."""
        self.inner.remove_checkpoint(path)

    def teardown(self) -> None:
        """As the inner one does."""
        self.inner.teardown()
