"""Zero-shot transfer: train on the labelled images of one data set, test on data sets never seen."""

import copy
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from anomalib.data import AnomalibDataModule
from anomalib.data.utils import Split
from pandas import DataFrame
from torch.utils.data import DataLoader, RandomSampler
from torchvision.transforms.v2 import Transform

from anomalib_cops.data.catalog import LabelledSet, choose, find_set
from anomalib_cops.data.dataset import LabelledImages
from anomalib_cops.data.world import SyntheticSet, is_drawn
from anomalib_cops.errors import InputError
from anomalib_cops.plugin import register
from anomalib_cops.processes import Share, place

_Part = tuple[LabelledSet, tuple[str, ...]]


class ZeroShotTransfer(AnomalibDataModule):
    """Trains and validates on one labelled data set (the auxiliary one), tests on others.

    The source's labelled split, normal and anomalous images with masks, is used for training, but for a part that is
    held out for validation, so that no threshold comes from the target. The published protocol does the same: it
    trains on the test split of one data set and tests on another.

    A data set is given by its name, ``synthetic``, ``mvtec`` or ``visa``, or as a folder (layouts: see ``folder.py``).
    When ``synthetic`` is on both sides and no categories are named, every second category trains, beginning with the
    first, and the others are for testing: surfaces and objects are on both sides.

    Args:
        source: Data set to train on; masks are needed.
        target: Data set or sets to test on; without masks only image labels are compared.
        source_categories: Categories to train on; all when not given.
        target_categories: Categories to test on, in any of the targets; all when not given.
        root: Folder of published data sets; anomalib's own when not given. Nothing is downloaded.
        train_batch_size: Images per training step.
        eval_batch_size: Images per step in validation and test.
        num_workers: Processes that read images, at most one per processor.
        val_fraction: Share of each category and label of the source that is held out for validation, in (0, 1).
        seed: For the held-out part, the order of training and the synthetic world.
        synthetic_samples: Synthetic pictures per category, good and defect together.
        synthetic_size: Side of a synthetic picture in pixels.
        synthetic_level: How much synthetic defects stand out: "mixed", "easy", "medium" or "hard".
        train_augmentations: Applied to image and mask of a training sample together; none by default.

    Raises:
        InputError: When it is first used: unknown names, unusable folders, or the same data on both sides.
    """

    def __init__(
        self,
        source: str = "synthetic",
        target: str | list[str] = "synthetic",
        source_categories: list[str] | None = None,
        target_categories: list[str] | None = None,
        root: str | None = None,
        train_batch_size: int = 8,
        eval_batch_size: int = 8,
        num_workers: int = 4,
        val_fraction: float = 0.1,
        seed: int = 0,
        synthetic_samples: int = 100,
        synthetic_size: int = 128,
        synthetic_level: str = "mixed",
        train_augmentations: Transform | None = None,
    ) -> None:
        super().__init__(
            train_augmentations=train_augmentations,
            train_batch_size=train_batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=min(num_workers, _processors()),
            seed=seed,
        )
        self.source = str(source)
        self.target = [str(name) for name in ([target] if isinstance(target, str) else target)]
        self.source_categories = source_categories
        self.target_categories = target_categories
        self.root = root
        self.val_fraction = val_fraction
        self.synthetic_samples = synthetic_samples
        self.synthetic_size = synthetic_size
        self.synthetic_level = synthetic_level
        self.train_data: LabelledImages
        self.val_data: LabelledImages
        self.test_data: LabelledImages

    @property
    def targets(self) -> list[str]:
        """What is tested, as ``set/category``."""
        return [f"{each.name}/{category}" for each, categories in self._sides[1] for category in categories]

    @property
    def target_datasets(self) -> dict[str, LabelledImages]:
        """The test images by ``set/category``."""
        self._need_setup()
        samples = self.test_data.samples
        keys = samples["set"] + "/" + samples["category"]
        return {key: LabelledImages(samples[keys == key], self.test_data.augmentations) for key in self.targets}

    @property
    def samples(self) -> DataFrame:
        """One row per image of all splits (``split``: train, val or test), with label, set and category."""
        self._need_setup()
        return pd.concat([part.samples for part in (self.train_data, self.val_data, self.test_data)], ignore_index=True)

    def only(self, target: str) -> "ZeroShotTransfer":
        """The same transfer with one of ``targets`` alone; anomalib keeps its results in a folder of that name.

        Raises:
            InputError: It is not one of ``targets``.
        """
        source, targets = self._sides
        parts: list[_Part] = [
            (each, (category,))
            for each, categories in targets
            for category in categories
            if f"{each.name}/{category}" == target
        ]
        if not parts:
            raise InputError(f"'{target}' is not among the targets; they are {', '.join(self.targets)}.")
        single = copy.copy(self)
        single._sides = (source, parts)
        single._is_setup = False
        for part in ("train_data", "val_data", "test_data"):
            single.__dict__.pop(part, None)
        single.trainer = None
        single.category = target
        return single

    def picture_name(self, image_path: str) -> Path | None:
        """A path for the picture of a test image: set, category, label and file name; nothing for other images."""
        self._need_setup()
        return self._picture_names.get(image_path)

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled in an order that depends on the seed only, not on what else drew random numbers."""
        generator = torch.Generator().manual_seed(self.seed or 0)
        return DataLoader(
            self.train_data,
            batch_size=self.train_batch_size,
            sampler=Share(RandomSampler(self.train_data, generator=generator), *place()),
            num_workers=self.num_workers,
            collate_fn=self.external_collate_fn or self.train_data.collate_fn,
            generator=generator,
        )

    def test_dataloader(self) -> DataLoader[Any] | list[DataLoader[Any]]:
        """One loader, or two if some targets have masks and others do not: no batch mixes them."""
        samples = self.test_data.samples
        loaders = [
            DataLoader(
                LabelledImages(samples[samples["masked"] == masked], self.test_data.augmentations),
                batch_size=self.eval_batch_size,
                num_workers=self.num_workers,
                collate_fn=self.external_collate_fn or self.test_data.collate_fn,
            )
            for masked in samples["masked"].sort_values(ascending=False).unique()
        ]
        return loaders[0] if len(loaders) == 1 else loaders

    # Not in the constructor: anomalib's command line buries whatever a datamodule's constructor says.
    @cached_property
    def _sides(self) -> tuple[_Part, list[_Part]]:
        """What to train on and what to test on."""
        world = SyntheticSet(self.synthetic_samples, self.synthetic_size, self.seed or 0, self.synthetic_level)
        sets = [find_set(name, root=self.root, synthetic=world) for name in (self.source, *self.target)]
        return _share_out(sets, self.source_categories, self.target_categories)

    def _setup(self, _stage: str | None = None) -> None:
        source_set, target_sets = self._sides
        source = _list_images([source_set])
        if not source["masked"].all():
            without = source.loc[~source["masked"], "category"].unique()
            raise InputError(
                f"the source {source_set[0].name} has no masks for {', '.join(without)}, and training needs them; "
                "add a mask folder, choose other categories, or use it as a target."
            )
        target = _list_images(target_sets)
        _refuse_shared_images(source, target)
        held_out = _held_out(source, self.val_fraction, self.seed or 0)
        self.train_data = LabelledImages(source[~held_out].assign(split=Split.TRAIN.value))
        self.val_data = LabelledImages(source[held_out].assign(split=Split.VAL.value))
        self.test_data = LabelledImages(target.assign(split=Split.TEST.value))
        places = zip(target["image_path"], target["set"], target["category"], target["label"], strict=True)
        self._picture_names = {path: Path(*place, Path(path).name) for path, *place in places}

    def _create_test_split(self) -> None:
        """The targets are tested as they are; the base class would divide them by label."""

    def _create_val_split(self) -> None:
        """Held out in ``_setup``; the base class does not divide by category and may leave a label out."""

    def _need_setup(self) -> None:
        if not hasattr(self, "test_data"):
            self.setup()


def _processors() -> int:
    """Those that this process may use; torch warns of more workers than these."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _share_out(
    sets: Sequence[LabelledSet], source_categories: list[str] | None, target_categories: list[str] | None
) -> tuple[_Part, list[_Part]]:
    """Says which categories of which set are the source and the targets; refuses what is on both sides."""
    source, *targets = sets
    if not targets:
        raise InputError("target is an empty list; name at least one data set to test on.")
    names = [each.name for each in targets]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"two targets are named {twice}; give each data set once, and folders of different names.")
    training = choose(source_categories, [source])[0] if source_categories else source.categories
    testing = choose(target_categories, targets) if target_categories else [each.categories for each in targets]
    same = next((place for place, each in enumerate(targets) if each.identity == source.identity), None)
    if same is not None and source.name == "synthetic":
        if not source_categories and not target_categories:
            training, testing[same] = source.categories[::2], source.categories[1::2]
        elif not source_categories:
            training = tuple(category for category in training if category not in testing[same])
        elif not target_categories:
            testing[same] = tuple(category for category in testing[same] if category not in training)
    if same is not None and (shared := sorted(set(training) & set(testing[same]))):
        raise InputError(_same_data(f"the categories {', '.join(shared)} of {source.name}"))
    if not training or not all(testing):
        raise InputError(f"no category of {source.name} is left for one of the two sides; name fewer for the other.")
    return (source, training), list(zip(targets, testing, strict=True))


def _list_images(parts: Sequence[_Part]) -> DataFrame:
    return pd.concat(
        [each.samples(category) for each, categories in parts for category in categories], ignore_index=True
    )


def _held_out(samples: DataFrame, fraction: float, seed: int) -> pd.Series:
    """Marks the validation part: of each category and label the fraction, at least one image of two or more."""
    if not 0 < fraction < 1:
        raise InputError(f"val_fraction={fraction} is not between 0 and 1; give the share to hold out.")
    generator = torch.Generator().manual_seed(seed)
    held_out = pd.Series(False, index=samples.index)
    for _, group in samples.sort_values("image_path").groupby(["category", "label_index"]):
        count = min(max(1, round(fraction * len(group))), len(group) - 1)
        chosen = torch.randperm(len(group), generator=generator)[:count].tolist()
        held_out[group.index[chosen]] = True
    for label, kind in ((0, "normal"), (1, "anomalous")):
        if not held_out[samples["label_index"] == label].any():
            raise InputError(
                f"the source needs at least two {kind} images of a category, one to hold out for validation."
            )
    return held_out


def _refuse_shared_images(source: DataFrame, target: DataFrame) -> None:
    known = {_identity(path) for path in source["image_path"]}
    shared = [path for path in target["image_path"] if _identity(path) in known]
    if shared:
        raise InputError(_same_data(f"{len(shared)} images ({shared[0]} is one)"))


def _identity(path: str) -> str | tuple[int, int]:
    """Equal for two paths to one file, by links or otherwise."""
    if is_drawn(path):
        return path
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _same_data(what: str) -> str:
    return f"{what} would be both trained on and tested on, which is not zero-shot; choose another source or target."


# Where this import is what loaded anomalib, its hook ran too early to see the class.
register()
