"""Which images a training reads and a cell tests, each listed once."""

from pathlib import Path
from typing import Any

from pandas import DataFrame

from anomalib_cops import ZeroShotTransfer
from anomalib_cops.data import LabelledImages
from anomalib_cops.data.sets.find import choose, find_set
from anomalib_cops.data.sets.synthetic_set import SyntheticSet
from anomalib_cops.errors import InputError

from .cells import Cell, Training
from .images import capped
from .matrix import SYNTHETIC

Tables = dict[str, DataFrame | InputError]
"""Images by category; where a category cannot be used, why."""


class Transfers:
    """Trainings and tests as anomalib's datamodules.

    Args:
        root: Folder of published data sets; anomalib's own when not given.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = str(root) if root else None
        self._tables: dict[tuple[Any, ...], Tables] = {}

    def learned(self, training: Training) -> ZeroShotTransfer:
        """What is trained on, with any target: with itself as target the synthetic world is shared out."""
        return self._transfer(training, SYNTHETIC, training.spared, training.source_categories)

    def tested(self, cell: Cell) -> ZeroShotTransfer:
        """What is trained on and what is tested, the same of the synthetic world as in the training.

        Raises:
            InputError: When it is looked into: nothing of that name, or the same categories on both sides.
        """
        training = cell.training
        learned = training.source_categories
        if SYNTHETIC in map(str.lower, training.source):
            learned = tuple(dict.fromkeys(name.rsplit("/", 1)[1] for name in self.learned(training).sources))
        return self._transfer(training, cell.target, cell.target_categories, learned)

    def categories(self, cell: Cell) -> list[str]:
        """Those that a cell tests.

        Raises:
            InputError: There is no such data set or category, or it is trained on as well.
        """
        if cell.training.is_ready:
            found = self._target(cell)
            if cell.target_categories:
                return list(choose(cell.target_categories, [found])[0])
            # Of the synthetic world nobody has to name what is left for the test.
            seen = cell.training.resolved["weights"]["trained_on"] if found.name == SYNTHETIC else ()
            trained = {name for each in seen if each["set"] == SYNTHETIC for name in each["categories"]}
            return [name for name in found.categories if name not in trained]
        return [_category(name) for name in self.tested(cell).targets]

    def tables(self, cell: Cell) -> Tables:
        """The test images of a cell by category, as many as are wanted; of one that cannot be used, why."""
        limit = cell.images_per_category
        whole = self.whole_tables(cell)
        return {name: each if isinstance(each, InputError) else capped(each, limit) for name, each in whole.items()}

    def whole_tables(self, cell: Cell) -> Tables:
        """All images of the categories that a cell tests."""
        training = cell.training
        drawn = SYNTHETIC in map(str.lower, (*training.source, cell.target))
        key = (
            *(training.source, training.source_categories, training.spared, training.is_ready),
            *(cell.target, cell.target_categories),
            *(
                (training.fingerprint if training.is_ready else training.seed, str(training.data.fixed))
                if drawn
                else ()
            ),
        )
        if key not in self._tables:
            self._tables[key] = self._alone(cell) if training.is_ready else self._beside_source(cell)
        return self._tables[key]

    def _beside_source(self, cell: Cell) -> Tables:
        """Test images; one by one only if there is something wrong with any, as the source is listed too."""
        data = self.tested(cell)
        try:
            return {_category(name): each.samples for name, each in data.target_datasets.items()}
        except InputError:
            return {_category(name): _listed_alone(data, name) for name in data.targets}

    def _alone(self, cell: Cell) -> Tables:
        """Test images of weights that were trained elsewhere: no source needs to be there."""
        found, tables = self._target(cell), Tables()
        for name in self.categories(cell):
            try:
                tables[name] = LabelledImages(found.samples(name).assign(split="test")).samples
            except InputError as error:
                tables[name] = error
        return tables

    def _target(self, cell: Cell) -> Any:
        data = cell.training.data
        world = SyntheticSet(data.synthetic_samples, data.synthetic_size, cell.training.seed, data.synthetic_level)
        return find_set(cell.target, root=self._root, synthetic=world)

    def _transfer(
        self, training: Training, target: str, targets: tuple[str, ...], sources: tuple[str, ...]
    ) -> ZeroShotTransfer:
        data = training.data
        return ZeroShotTransfer(
            source=list(training.source),
            target=target,
            source_categories=list(sources) or None,
            target_categories=list(targets) or None,
            root=self._root,
            train_batch_size=data.train_batch_size,
            eval_batch_size=data.eval_batch_size,
            num_workers=data.num_workers,
            val_fraction=data.val_fraction,
            seed=training.seed,
            synthetic_samples=data.synthetic_samples,
            synthetic_size=data.synthetic_size,
            synthetic_level=data.synthetic_level,
        )


def _listed_alone(data: ZeroShotTransfer, target: str) -> DataFrame | InputError:
    try:
        return data.only(target).target_datasets[target].samples
    except InputError as error:
        return error


def _category(target: str) -> str:
    return target.rsplit("/", 1)[1]
