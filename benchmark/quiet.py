"""Silence remarks of anomalib and Lightning that would break the live display and tell its reader nothing."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = (
    "anomalib",
    "lightning.pytorch",
    "lightning.fabric",
    "lightning_fabric",
    "lightning.pytorch.utilities.rank_zero",
    # Of references, of which the same would be said in every category.
    "anomalib_cops.host.calibrating",
    "anomalib_cops.host.reference_images",
    "anomalib_cops.host.reference_checks",
)
_WARNINGS = (
    "The .* does not have many workers",
    "The number of training batches",
    "Found .* module.s. in eval mode",
    "Total length of",
    ".max_epochs. was not set",
    ".*pin_memory",
    "Checkpoint directory",
    "Trying to infer the .batch_size",
    ".isinstance.treespec",
    "You defined a .validation_step. but have no .val_dataloader.",
    ".*configure_optimizers. returned .None.",
    # Of anomalib's own calls and imports.
    "Argument embeddings is deprecated",
    ".*invalid escape sequence",
    "Importing from timm",
    "The anomalib.models.components.dinov2 package",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide what Lightning and anomalib log below errors, and their warnings about small runs, during the block."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    try:
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            for message in _WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
