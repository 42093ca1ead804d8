"""Zero-shot transfer: train on the labelled images of one data set, test on data sets never seen."""

import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from anomalib.data import AnomalibDataModule
from anomalib.data.utils import Split
from anomalib.visualization import Visualizer
from lightning.pytorch.trainer.states import TrainerFn
from pandas import DataFrame
from torch.utils.data import DataLoader, RandomSampler
from torchvision.transforms.v2 import Transform

from anomalib_cops.data.dataset import LabelledImages
from anomalib_cops.data.mask_validation import validate_masks
from anomalib_cops.data.masks import parse_mask_values
from anomalib_cops.data.one_class import is_one_class, normal_images_only
from anomalib_cops.data.picture_names import below, common_folder
from anomalib_cops.data.sets.find import DataSetSpec, find_set
from anomalib_cops.data.sets.published_set import PublishedSet
from anomalib_cops.data.sets.synthetic_set import SyntheticSet
from anomalib_cops.data.splits import Selection, assign_categories, held_out, list_images, refuse_shared_images
from anomalib_cops.data.synthetic.addresses import address_of
from anomalib_cops.distributed import Share, place, processors
from anomalib_cops.errors import InputError
from anomalib_cops.plugin import register

_Given = str | dict[str, Any] | list[str | dict[str, Any]]


class ZeroShotTransfer(AnomalibDataModule):
    """Trains and validates on labelled data (the auxiliary set), tests on data sets never seen.

    The source's labelled split, normal and anomalous images with masks, is used for training, but for a part that is
    held out for validation, so that no threshold comes from the target. The published protocol does the same: it
    trains on the test split of one data set and tests on another.

    A data set is given by its name, ``synthetic`` or one of the catalogue (``python -m anomalib_cops.data layout``
    lists it), as a folder (layouts: see ``folder.py``), as ``meta:`` and the ``meta.json`` made for an official
    repository, or by its folders one by one, as anomalib's ``Folder`` takes them: ``{"name": "mine", "normal_dir": ...,
    "abnormal_dir": ..., "mask_dir": ...}``. Published sets that are not there are downloaded where anomalib can.
    When ``synthetic`` is on both sides and no categories are named, every second category trains, beginning with the
    first, and the others are for testing: surfaces and objects are on both sides.

    Args:
        source: Data set or sets to train on; masks are needed.
        target: Data set or sets to test on; without masks only image labels are compared, without normal images only
            pixels.
        source_categories: Categories to train on, in any of the sources; all when not given.
        target_categories: Categories to test on, in any of the targets; all when not given.
        root: Folder of published data sets; anomalib's own when not given.
        train_batch_size: Images per training step.
        eval_batch_size: Images per step in validation and test.
        num_workers: Processes that read images, at most one per processor.
        val_fraction: Share of each category and label of the source that is held out for validation, in (0, 1).
        seed: For the held-out part, the order of training and the synthetic world.
        synthetic_samples: Synthetic pictures per category, good and defect together.
        synthetic_size: Side of a synthetic picture in pixels.
        synthetic_level: How much synthetic defects stand out: "mixed", "easy", "medium" or "hard".
        train_augmentations: Applied to image and mask of a training sample together; none by default.
        mask_values: The levels of masks that are anomalous, as a list, or "nonzero" for all but 0: for folders and
            lists of your own, whose masks are not of 0 and 255. Published sets are read as published.

    Raises:
        InputError: When it is first used: unknown names, unusable folders, or the same data on both sides.
    """

    def __init__(
        self,
        source: _Given = "synthetic",
        target: _Given = "synthetic",
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
        mask_values: int | list[int] | str | None = None,
    ) -> None:
        super().__init__(
            train_augmentations=train_augmentations,
            train_batch_size=train_batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=min(num_workers, processors()),
            seed=seed,
        )
        self.source = _several(source)
        self.target = _several(target)
        self.source_categories = source_categories
        self.target_categories = target_categories
        self.root = root
        self.val_fraction = val_fraction
        self.synthetic_samples = synthetic_samples
        self.synthetic_size = synthetic_size
        self.synthetic_level = synthetic_level
        self.mask_values = mask_values
        self.train_data: LabelledImages
        self.val_data: LabelledImages
        self.test_data: LabelledImages
        self._names: dict[str, Path] | None = None
        self._looked_at: list[LabelledImages] = []

    @property
    def sources(self) -> list[str]:
        """What is trained on, as ``set/category``."""
        return [f"{each.name}/{category}" for each, categories in self._selections[0] for category in categories]

    @property
    def targets(self) -> list[str]:
        """What is tested, as ``set/category``."""
        return [f"{each.name}/{category}" for each, categories in self._selections[1] for category in categories]

    @property
    def target_datasets(self) -> dict[str, LabelledImages]:
        """The test images by ``set/category``; their ``image_path`` is a file, also that of a synthetic picture."""
        self._need_setup()
        samples = self.test_data.samples
        keys = samples["set"] + "/" + samples["category"]
        augmentations = self.test_data.augmentations
        return {key: LabelledImages(samples[keys == key], augmentations, self.name) for key in self.targets}

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
        source, targets = self._selections
        parts: list[Selection] = [
            (each, (category,))
            for each, categories in targets
            for category in categories
            if f"{each.name}/{category}" == target
        ]
        if not parts:
            raise InputError(f"'{target}' is not among the targets; they are {', '.join(self.targets)}.")
        single = copy.copy(self)
        single._selections = (source, parts)
        single._is_setup = False
        for part in ("train_data", "val_data", "test_data"):
            single.__dict__.pop(part, None)
        single._looked_at = []
        single.trainer = None
        single.category = target
        return single

    def picture_name(self, image_path: str) -> Path | None:
        """A path for the picture of a test image: set, category, label, and the image's path below that label.

        Nothing for other images. No two images have one path.
        """
        self._need_setup()
        if self._names is None:
            self._names = {}
            for place, group in self.test_data.samples.groupby(["set", "category", "label"]):
                folder = common_folder(group["image_path"])
                self._names |= {path: Path(*place, below(folder, path)) for path in group["image_path"]}
        return self._names.get(address_of(image_path))

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled in an order that depends on the seed only, not on what else drew random numbers.

        A model that learns from normal images only gets no others, with a warning.

        Raises:
            InputError: There are none for it.
        """
        generator = torch.Generator().manual_seed(self.seed or 0)
        model = getattr(self.trainer, "lightning_module", None)
        images = normal_images_only(self.train_data, model) if is_one_class(model) else self.train_data
        return DataLoader(
            images,
            batch_size=self.train_batch_size,
            sampler=Share(RandomSampler(images, generator=generator), *place()),
            num_workers=self.num_workers,
            collate_fn=self.external_collate_fn or images.collate_fn,
            generator=generator,
        )

    def test_dataloader(self) -> DataLoader[Any] | list[DataLoader[Any]]:
        """One loader, or two if some targets have masks and others do not: no batch mixes them."""
        samples = self.test_data.samples
        home = self.name if self._needs_files() else None
        loaders = [
            DataLoader(
                LabelledImages(samples[samples["masked"] == masked], self.test_data.augmentations, home),
                batch_size=self.eval_batch_size,
                num_workers=self.num_workers,
                collate_fn=self.external_collate_fn or self.test_data.collate_fn,
            )
            for masked in samples["masked"].sort_values(ascending=False).unique()
        ]
        return loaders[0] if len(loaders) == 1 else loaders

    def prepare_data(self) -> None:
        """Let anomalib download published sets that are not there, where it can.

        Raises:
            InputError: There is no network, the download fails, or what came is not what was published.
        """
        for each, _ in (*self._selections[0], *self._selections[1]):
            if isinstance(each, PublishedSet):
                each.fetch()

    def setup(self, stage: str | None = None) -> None:
        """Lists all images; for a run also looks at all masks that it needs, before hours are spent.

        Raises:
            InputError: Data sets cannot be used as they are, or masks do not say what is anomalous.
        """
        super().setup(stage)
        if self.trainer is None:
            return
        source = [] if stage == TrainerFn.TESTING else [self.train_data, self.val_data]
        for side in (source, [self.test_data]):
            new = [part for part in side if part not in self._looked_at]
            if new:
                validate_masks(pd.concat([part.samples for part in new], ignore_index=True))
            self._looked_at += new

    # Not in the constructor: anomalib's command line buries whatever a datamodule's constructor says.
    @cached_property
    def _selections(self) -> tuple[list[Selection], list[Selection]]:
        """What to train on and what to test on."""
        world = SyntheticSet(self.synthetic_samples, self.synthetic_size, self.seed or 0, self.synthetic_level)
        sources, targets = (
            [find_set(wanted, root=self.root, synthetic=world) for wanted in side]
            for side in (self.source, self.target)
        )
        return assign_categories(sources, targets, self.source_categories, self.target_categories)

    def _setup(self, _stage: str | None = None) -> None:
        values = parse_mask_values(self.mask_values)
        if values is not None and all(each.has_mask_rule for side in self._selections for each, _ in side):
            raise InputError(
                f"mask_values={self.mask_values} is for masks in folders or lists of your own, and all of source and "
                "target say themselves how theirs are read; leave it out."
            )
        source, target = (list_images(side, values) for side in self._selections)
        if not source["masked"].all():
            without = source[~source["masked"]].iloc[0]
            raise InputError(
                f"the source {without['set']} has no masks for {without['category']}, and training needs them; "
                "add a mask folder, choose other categories, or use it as a target."
            )
        refuse_shared_images(source, target)
        self._names = None
        validation = held_out(source, self.val_fraction, self.seed or 0)
        self.train_data = LabelledImages(source[~validation].assign(split=Split.TRAIN.value))
        self.val_data = LabelledImages(source[validation].assign(split=Split.VAL.value))
        self.test_data = LabelledImages(target.assign(split=Split.TEST.value))

    def _create_test_split(self) -> None:
        """The targets are tested as they are; the base class would divide them by label."""

    def _create_val_split(self) -> None:
        """Held out in ``_setup``; the base class does not divide by category and may leave a label out."""

    def _needs_files(self) -> bool:
        """Tell whether someone may open synthetic pictures by their path: in a prediction, or a visualizer.

        A visualizer that draws synthetic pictures itself says so with an attribute ``reads_files = False``.
        """
        return getattr(self.trainer, "predicting", False) or any(
            isinstance(each, Visualizer) and getattr(each, "reads_files", True)
            for each in getattr(self.trainer, "callbacks", ())
        )

    def _need_setup(self) -> None:
        if not hasattr(self, "test_data"):
            self.setup()


def _several(given: _Given) -> list[DataSetSpec]:
    return [each if isinstance(each, dict) else str(each) for each in (given if isinstance(given, list) else [given])]


# Where this import is what loaded anomalib, its hook ran too early to see the class.
register()
