"""Images without labels, for what only looks at images, such as the calibration of quantised exports."""

from typing import Any

from anomalib.data import AnomalibDataModule, PredictDataset
from torch.utils.data import DataLoader

from anomalib_cops.data.good_images import list_images
from anomalib_cops.errors import InputError
from anomalib_cops.plugin import register_datamodules


class UnlabelledImages(AnomalibDataModule):
    """A folder of images whose labels are not known.

    Args:
        images: the folder; its sub-folders count.

    Raises:
        InputError: On first use: there are no images.
    """

    def __init__(self, images: str) -> None:
        super().__init__(train_batch_size=1, eval_batch_size=1, num_workers=0)
        self.images = images

    def val_dataloader(self) -> DataLoader[Any]:
        """Return a loader of the images, one by one."""
        list_images(self.images, "unlabelled images")
        data = PredictDataset(self.images)
        return DataLoader(data, collate_fn=data.collate_fn)

    def train_dataloader(self) -> DataLoader[Any]:
        """Refuse to train.

        Raises:
            InputError: always.
        """
        raise InputError("UnlabelledImages cannot train or test, as it has no labels; use ZeroShotTransfer.")

    test_dataloader = train_dataloader

    def _setup(self, _stage: str | None = None) -> None:
        """Do nothing; the folder is read when images are needed."""

    def _create_test_split(self) -> None:
        """Do nothing: there is nothing to test."""

    def _create_val_split(self) -> None:
        """Do nothing: all images are for validation."""


# If this import is what loaded anomalib, its hook ran too early to see the class.
register_datamodules()
