"""Images that anomalib's own reader misreads are read again: it clips 16 bits to white and ignores EXIF orientation."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from anomalib.data import AnomalibDataset, PredictDataset
from lightning.pytorch import Callback
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset
from torchvision.transforms.v2.functional import to_dtype, to_image
from torchvision.tv_tensors import Mask

from anomalib_cops.data.dataset import LabelledImages
from anomalib_cops.data.image_and_mask import read_image_and_mask
from anomalib_cops.data.synthetic.addresses import is_address
from anomalib_cops.data.unit_range import to_unit_range
from anomalib_cops.errors import InputError
from anomalib_cops.host.reading_ahead import is_read_ahead
from anomalib_cops.images.decoding import exceeds_8_bits, read_header
from anomalib_cops.images.reading import read_image

LOADERS = {
    TrainerFn.FITTING: ("train_dataloader", "val_dataloaders"),
    TrainerFn.VALIDATING: ("val_dataloaders",),
    TrainerFn.TESTING: ("test_dataloaders",),
    TrainerFn.PREDICTING: ("predict_dataloaders",),
}
"""Attributes of the trainer that hold the loaders in use, by the trainer's task."""
# In these, anomalib reads a file and applies the transform of the data set, and nothing else.
_BY_ANOMALIB = (AnomalibDataset.__getitem__, PredictDataset.__getitem__)
# An image was clipped if more than the first share of it is white in the batch, but less than the second in its file.
_CLIPPED, _NATURAL = 0.99, 0.5


class Rereader(Callback):
    """Callback that corrects misread images of a batch before the model sees them.

    If anomalib's reader misread an image, read it again, with its mask, and apply the data set's own transforms. How a
    user's own data set reads is not known, so an image that it has clipped to white is refused. Images in memory must
    have levels in [0, 1].
    """

    def __init__(self) -> None:
        self._data_sets: list[Any] = []
        self._owners: dict[str, Any] = {}
        self._is_ours = True
        self._misread: dict[str, bool] = {}

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Correct a training batch."""
        self._correct(batch, trainer.train_dataloader)

    def on_validation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Correct a validation batch."""
        self._correct(batch, trainer.val_dataloaders)

    def on_test_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Correct a test batch."""
        self._correct(batch, trainer.test_dataloaders)

    def on_predict_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Correct a batch to predict."""
        self._correct(batch, trainer.predict_dataloaders)

    def _correct(self, batch: Any, loaders: Any) -> None:
        """Correct the misread images of a batch in place.

        Raises:
            InputError: Levels are not in [0, 1], a file or its mask cannot be used, or an image was clipped to white.
        """
        paths = [str(path) for path in batch.image_path or []]
        batch.image = to_unit_range(batch.image, paths or None)
        self._find_owners(loaders)
        for row, path in enumerate(paths):
            if self._is_ours or is_address(path) or not self._is_misread(path):
                continue
            owner = self._owners.get(path)
            if owner is not None:
                _read_again(batch, row, path, owner)
            else:
                _refuse_white(batch.image[row], path)

    def _find_owners(self, loaders: Any) -> None:
        """Note which data set each path is from, if anomalib reads it."""
        found = list(datasets(loaders))
        if list(map(id, self._data_sets)) == list(map(id, found)):
            return
        self._data_sets = found
        self._is_ours = bool(found) and all(isinstance(each, LabelledImages) or is_read_ahead(each) for each in found)
        self._owners = {
            str(path): each for each in found if type(each).__getitem__ in _BY_ANOMALIB for path in _paths(each)
        }

    def _is_misread(self, path: str) -> bool:
        if path not in self._misread:
            try:
                mode, orientation = read_header(path)
            except InputError:  # the path may be just a name, or a file that only its data set can read
                mode, orientation = "", 1
            self._misread[path] = exceeds_8_bits(mode) or mode == "F" or orientation != 1
        return self._misread[path]


def datasets_in_use(trainer: Any) -> Iterator[Any]:
    """Yield the data sets of a trainer's present task; it keeps loaders of earlier ones too."""
    for name in LOADERS.get(trainer.state.fn, ()):
        yield from datasets(getattr(trainer, name, None))


def datasets(loaders: Any) -> Iterator[Any]:
    """Yield the data sets behind loaders, also those inside torch's ``Subset`` and ``ConcatDataset``."""
    for each in loaders if isinstance(loaders, (list, tuple)) else [loaders]:
        pending = [getattr(each, "dataset", None)]
        while pending:
            found = pending.pop(0)
            if isinstance(found, Subset):
                pending.append(found.dataset)
            elif isinstance(found, ConcatDataset):
                pending += found.datasets
            elif found is not None:
                yield found


def _paths(dataset: Any) -> list[Any]:
    return list(dataset.samples["image_path"] if isinstance(dataset, AnomalibDataset) else dataset.image_filenames)


def _read_again(batch: Any, row: int, path: str, owner: Any) -> None:
    """Read an image and its mask as anomalib's data sets do, but with our reader, and put them into the batch."""
    is_anomalous = batch.gt_label is not None and bool(batch.gt_label[row])
    if batch.gt_mask is not None and is_anomalous:
        levels, anomalous = read_image_and_mask(path, str(batch.mask_path[row]), above=0)
        mask = Mask(torch.from_numpy(anomalous.astype(np.uint8)))
    else:
        levels = read_image(path)
        mask = None if batch.gt_mask is None else Mask(torch.zeros(levels.shape[:2], dtype=torch.uint8))
    image = to_dtype(to_image(levels), torch.float32, scale=True)
    transform = owner.transform if isinstance(owner, PredictDataset) else owner.augmentations
    if transform and mask is not None:
        image, mask = transform(image, mask)
    elif transform:
        image = transform(image)
    _replace(batch, "image", row, image, path)
    if mask is not None:
        _replace(batch, "gt_mask", row, mask, path)


def _replace(batch: Any, field: str, row: int, new: Tensor, path: str) -> None:
    whole = getattr(batch, field)
    if len(whole) == 1:
        # An image alone in its batch may have any size, so a turned one is no problem.
        setattr(batch, field, new[None].to(whole))
        return
    if new.shape != whole[row].shape:
        raise InputError(
            f"{path} is stored turned (EXIF orientation), and among images of {tuple(whole.shape[-2:])} pixels has "
            f"{tuple(new.shape[-2:])} the right way up; resize all of them, or save it the right way up."
        )
    whole = whole.clone()
    whole[row] = new.to(whole)
    setattr(batch, field, whole)


def _refuse_white(image: Tensor, path: str) -> None:
    if (image == 1).float().mean() > _CLIPPED and (read_image(path) == 255).mean() < _NATURAL:
        raise InputError(
            f"{path} has 16 bits and came as white from its data set; let that read it with "
            "anomalib_cops.data.read_image, which gives 8 bits."
        )
