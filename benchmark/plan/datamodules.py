"""Make the datamodules of trainings and cells, and list the test images of each cell once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pandas import DataFrame

from anomalib_cops import ZeroShotTransfer
from anomalib_cops.data import LabelledImages
from anomalib_cops.data.sets.find import choose_categories, find_set
from anomalib_cops.data.sets.synthetic_set import SyntheticSet
from anomalib_cops.errors import InputError

from .cells import Cell, Training
from .names import SYNTHETIC
from .reference_pool import CategoryImages, divide

SamplesByCategory = dict[str, DataFrame | InputError]
"""Images of a target by category; for a category that cannot be used, the error that says why."""
ImagesByCategory = dict[str, CategoryImages | InputError]
"""The same, divided into test images and those that references are taken from."""


class Datamodules:
    """Datamodules of trainings and cells.

    Args:
        root: Folder of published data sets; anomalib's own folder if None.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = str(root) if root else None
        self._samples: dict[tuple[Any, ...], SamplesByCategory] = {}
        self._images: dict[tuple[Any, ...], ImagesByCategory] = {}

    def for_training(self, training: Training) -> ZeroShotTransfer:
        """Make the datamodule of a training.

        Its target is the synthetic set, which is always there and which a training does not look at. Where the source
        is synthetic too, the categories are shared out between training and test.
        """
        return self._transfer(training, SYNTHETIC, training.spared, training.source_categories)

    def for_test(self, cell: Cell) -> ZeroShotTransfer:
        """Make the datamodule of a test, with the synthetic categories on the same side as in the training.

        The datamodule raises InputError when it is read, if a data set is not there or a category is trained on and
        tested.
        """
        training = cell.training
        source_categories = training.source_categories
        if SYNTHETIC in map(str.lower, training.source):
            source_categories = tuple(dict.fromkeys(map(_category, self.for_training(training).sources)))
        return self._transfer(training, cell.target, cell.target_categories, source_categories)

    def categories(self, cell: Cell) -> list[str]:
        """List the categories that a cell tests.

        Raises:
            InputError: There is no such data set or category, or it is trained on as well.
        """
        if not cell.training.is_ready:
            return [_category(name) for name in self.for_test(cell).targets]
        target = self._target(cell)
        if cell.target_categories:
            return list(choose_categories(cell.target_categories, [target])[0])
        # Of the synthetic set nobody has to name what is left for the test.
        trained_on = cell.training.resolved["weights"]["trained_on"] if target.name == SYNTHETIC else ()
        trained = {name for each in trained_on if each["set"] == SYNTHETIC for name in each["categories"]}
        return [name for name in target.categories if name not in trained]

    def images(self, cell: Cell) -> ImagesByCategory:
        """List the test images of a cell, at most as many per category as it allows, and the pool of its references."""
        draw = replace(cell.references, shots=min(1, cell.references.shots)) if cell.references else None
        key = (*self._key(cell), cell.images_per_category, draw)
        if key not in self._images:
            self._images[key] = {name: _divided(each, cell) for name, each in self.all_samples(cell).items()}
        return self._images[key]

    def all_samples(self, cell: Cell) -> SamplesByCategory:
        """List all images of the categories that a cell tests."""
        key = self._key(cell)
        if key not in self._samples:
            of_target = self._of_target_alone if cell.training.is_ready else self._of_transfer
            self._samples[key] = of_target(cell)
        return self._samples[key]

    @staticmethod
    def _key(cell: Cell) -> tuple[Any, ...]:
        """Return what decides which images the categories of a cell have."""
        training = cell.training
        draws_images = SYNTHETIC in map(str.lower, (*training.source, cell.target))
        return (
            *(training.source, training.source_categories, training.spared, training.is_ready),
            *(cell.target, cell.target_categories),
            *(
                (training.fingerprint if training.is_ready else training.seed, str(training.data.for_fingerprint))
                if draws_images
                else ()
            ),
        )

    def _of_transfer(self, cell: Cell) -> SamplesByCategory:
        """List all categories together; category by category only if one of them cannot be used, as this is slower."""
        data = self.for_test(cell)
        try:
            return {_category(name): each.samples for name, each in data.target_datasets.items()}
        except InputError:
            return {_category(name): _samples_of_one(data, name) for name in data.targets}

    def _of_target_alone(self, cell: Cell) -> SamplesByCategory:
        """List the test images for weights that were trained elsewhere; their source need not be there."""
        target, samples = self._target(cell), SamplesByCategory()
        for name in self.categories(cell):
            try:
                samples[name] = LabelledImages(target.samples(name).assign(split="test")).samples
            except InputError as error:
                samples[name] = error
        return samples

    def _target(self, cell: Cell) -> Any:
        data = cell.training.data
        synthetic = SyntheticSet(
            data.synthetic_samples,
            data.synthetic_size,
            cell.training.seed,
            data.synthetic_level,
            data.synthetic_world,
        )
        return find_set(cell.target, root=self._root, synthetic=synthetic)

    def _transfer(
        self, training: Training, target: str, target_categories: tuple[str, ...], source_categories: tuple[str, ...]
    ) -> ZeroShotTransfer:
        data = training.data
        return ZeroShotTransfer(
            source=list(training.source),
            target=target,
            source_categories=list(source_categories) or None,
            target_categories=list(target_categories) or None,
            root=self._root,
            train_batch_size=data.train_batch_size,
            eval_batch_size=data.eval_batch_size,
            num_workers=data.num_workers,
            val_fraction=data.val_fraction,
            seed=training.seed,
            synthetic_samples=data.synthetic_samples,
            synthetic_size=data.synthetic_size,
            synthetic_level=data.synthetic_level,
            synthetic_world=data.synthetic_world,
        )


def _divided(samples: DataFrame | InputError, cell: Cell) -> CategoryImages | InputError:
    if isinstance(samples, InputError):
        return samples
    try:
        return divide(samples, cell.references, cell.images_per_category)
    except InputError as error:
        return error


def _samples_of_one(data: ZeroShotTransfer, target: str) -> DataFrame | InputError:
    try:
        return data.only(target).target_datasets[target].samples
    except InputError as error:
        return error


def _category(name: str) -> str:
    """Return the category of a name such as ``mvtec/bottle``."""
    return name.rsplit("/", 1)[1]
