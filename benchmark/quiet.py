"""The hosts' remarks, which would tear a live display apart and tell a benchmark's reader nothing."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_NOISY = (
    "anomalib",
    "lightning.pytorch",
    "lightning.fabric",
    "lightning_fabric",
    "lightning.pytorch.utilities.rank_zero",
)
_REMARKS = (
    "The .* does not have many workers",
    "The number of training batches",
    "Found .* module.s. in eval mode",
    "Total length of",
    ".max_epochs. was not set",
    ".*pin_memory",
    "Checkpoint directory",
    "Trying to infer the .batch_size",
    ".isinstance.treespec",
    # Of anomalib's own imports.
    ".*invalid escape sequence",
    "Importing from timm",
    "The anomalib.models.components.dinov2 package",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Without what Lightning and anomalib log below errors, and without their warnings about small runs."""
    levels = {name: logging.getLogger(name).level for name in _NOISY}
    try:
        for name in _NOISY:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            for remark in _REMARKS:
                warnings.filterwarnings("ignore", message=remark)
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
