"""What ``Engine.predict`` returns, kept on the disk where it would fill the memory."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anomalib_cops.errors import InputError

# Of every image there are these; the others are a few bytes.
_LARGE = ("image", "anomaly_map", "pred_mask")
# Not much: tensors that stay leave the memory between them in pieces, which costs several times their own size.
IN_MEMORY = 16 * 2**20
_CHUNK = 64 * 2**20
_ALIGNED = 16


class ReturnedPredictions:
    """Moves images, maps and masks of predictions into files once there are many; they can be read as before.

    The tensors are views of mapped files without a name, which the system deletes with the last of them.

    Args:
        folder: Where the files are.
        in_memory: bytes that stay in memory; 16 MiB if not given.
    """

    def __init__(self, folder: Path, in_memory: int | None = None) -> None:
        self._folder = folder
        self._left_in_memory = IN_MEMORY if in_memory is None else in_memory
        self._file = -1
        self._chunk = torch.empty(0, dtype=torch.uint8)
        self._used = 0

    def keep(self, batch: Any) -> None:
        """Replace the large tensors of a batch by equal ones on the disk, if enough of them are in memory already.

        Raises:
            InputError: the disk is full.
        """
        tensors = {name: value for name in _LARGE if isinstance(value := getattr(batch, name, None), Tensor)}
        self._left_in_memory -= sum(tensor.nbytes for tensor in tensors.values())
        if self._left_in_memory >= 0:
            return
        for name, tensor in tensors.items():
            try:
                setattr(batch, name, self._on_disk(tensor))
            except (OSError, RuntimeError) as error:  # the second is torch's, of disks that cannot be mapped
                raise InputError(
                    f"{self._folder} cannot hold what Engine.predict returns ({error}); make room there, or "
                    "give return_predictions=False if scores.csv and the pictures are all that is needed."
                ) from None

    def close(self) -> None:
        """Write no more; what was kept stays readable."""
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
        # Not through the mapping: what is written there counts as this process's memory, and a full disk would kill it.
        os.lseek(self._file, start, os.SEEK_SET)
        view = memoryview(levels.data).cast("B")
        while view:
            view = view[os.write(self._file, view) :]
        return self._chunk[start : self._used].view(tensor.dtype).reshape(tensor.shape)

    def _new_chunk(self, size: int) -> None:
        self.close()
        self._file, name = tempfile.mkstemp(dir=self._folder, prefix=".returned-")
        self._chunk = torch.from_file(name, shared=True, size=size, dtype=torch.uint8)
        with suppress(OSError):  # Windows keeps a file that is mapped
            os.unlink(name)
