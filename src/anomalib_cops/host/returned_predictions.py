"""Predictions that ``Engine.predict`` returns, kept on disk if they would fill the memory."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anomalib_cops.errors import InputError

# The other fields take a few bytes per image.
_LARGE_FIELDS = ("image", "anomaly_map", "pred_mask")
IN_MEMORY = 16 * 2**20
"""Bytes to keep in memory. Few, because tensors that stay fragment the memory, which costs several times their size."""
_CHUNK = 64 * 2**20
_ALIGNED = 16


class ReturnedPredictions:
    """Store of predictions that moves images, maps and masks into files once there are many of them.

    The tensors become views of memory-mapped files without a name, which the system deletes with the last view.

    Args:
        folder: Folder of the files.
        in_memory: Number of bytes to keep in memory; 16 MiB by default.
    """

    def __init__(self, folder: Path, in_memory: int | None = None) -> None:
        self._folder = folder
        self._left_in_memory = IN_MEMORY if in_memory is None else in_memory
        self._file = -1
        self._chunk = torch.empty(0, dtype=torch.uint8)
        self._used = 0

    def keep(self, batch: Any) -> None:
        """Replace the large tensors of a batch by equal ones on disk, if enough are in memory already.

        Raises:
            InputError: The disk is full.
        """
        tensors = {name: value for name in _LARGE_FIELDS if isinstance(value := getattr(batch, name, None), Tensor)}
        self._left_in_memory -= sum(tensor.nbytes for tensor in tensors.values())
        if self._left_in_memory >= 0:
            return
        for name, tensor in tensors.items():
            try:
                setattr(batch, name, self._on_disk(tensor))
            except (OSError, RuntimeError) as error:  # torch raises RuntimeError if the disk cannot be mapped
                raise InputError(
                    f"{self._folder} cannot hold what Engine.predict returns ({error}); make room there, or "
                    "give return_predictions=False if scores.csv and the pictures are all that is needed."
                ) from None

    def close(self) -> None:
        """Close the file; the tensors stay readable."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _on_disk(self, tensor: Tensor) -> Tensor:
        levels = tensor.detach().cpu().contiguous().numpy()
        start = -(-self._used // _ALIGNED) * _ALIGNED
        if start + levels.nbytes > len(self._chunk):
            self._new_chunk(max(_CHUNK, levels.nbytes))
            start = 0
        self._used = start + levels.nbytes
        # Do not write through the mapping: that counts as memory of this process, and a full disk would kill it.
        os.lseek(self._file, start, os.SEEK_SET)
        view = memoryview(levels.data).cast("B")
        while view:
            view = view[os.write(self._file, view) :]
        return self._chunk[start : self._used].view(tensor.dtype).reshape(tensor.shape)

    def _new_chunk(self, size: int) -> None:
        self.close()
        self._file, name = tempfile.mkstemp(dir=self._folder, prefix=".returned-")
        self._chunk = torch.from_file(name, shared=True, size=size, dtype=torch.uint8)
        with suppress(OSError):  # Windows does not delete a mapped file
            os.unlink(name)
