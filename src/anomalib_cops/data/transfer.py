"""Zero-shot transfer: train on the labelled images of one data set, test on data sets that the model never saw."""

import copy
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import torch
from anomalib.data import AnomalibDataModule
from anomalib.data.utils import Split
from anomalib.visualization import Visualizer
from lightning.pytorch.trainer.states import TrainerFn
from pandas import DataFrame
from torch.utils.data import DataLoader, RandomSampler
from torchvision.transforms.v2 import Transform

from anomalib_cops.data.category_assignment import Selection, assign_categories
from anomalib_cops.data.dataset import LabelledImages
from anomalib_cops.data.evaluation_loaders import loaders_apart, uniform_loader
from anomalib_cops.data.mask_use import masked_images_only, parse_mask_use, report_missing_masks
from anomalib_cops.data.mask_validation import validate_masks
from anomalib_cops.data.masks import parse_mask_values
from anomalib_cops.data.one_class import is_one_class, normal_images_only
from anomalib_cops.data.sets.find import DataSetSpecs, as_list, find_set
from anomalib_cops.data.sets.published_set import PublishedSet
from anomalib_cops.data.sets.synthetic_set import SyntheticSet
from anomalib_cops.data.splits import list_images, mark_validation, refuse_shared_images
from anomalib_cops.data.synthetic.addresses import address_of
from anomalib_cops.distributed import Share, place
from anomalib_cops.errors import InputError
from anomalib_cops.images.picture_names import common_folder, picture_path
from anomalib_cops.machine import processors
from anomalib_cops.plugin import register_datamodules


class ZeroShotTransfer(AnomalibDataModule):
    """Train and validate on labelled data (the auxiliary set), and test on data sets that the model never saw.

    The labelled split of the source, normal and anomalous images, is used for training; where it has masks, they are
    used as well. A part of it is held out for validation, so that no threshold comes from the target. The published
    protocol does the same: it trains on the test split of one data set and tests on another.

    Give a data set by its name, ``synthetic`` or one of the catalogue (``python -m anomalib_cops.data layout`` lists
    them); as a folder (see ``sets/folder.py`` for its layouts); as ``meta:`` and the ``meta.json`` that was made for an
    official repository; or by its folders one by one, as to anomalib's ``Folder``: ``{"name": "mine", "normal_dir":
    ..., "abnormal_dir": ..., "mask_dir": ...}``. Missing published data sets are downloaded if anomalib can do so.
    If ``synthetic`` is both source and target and no categories are named, every second category trains, beginning with
    the first, and the others are for testing; so both have surfaces and objects.

    Args:
        source: Data set or sets to train on, with normal and anomalous images; masks are optional, see ``masks``.
        target: Data set or sets to test on; without masks only image metrics are computed, without normal images only
            pixel metrics.
        source_categories: Categories to train on, from any of the sources; all by default.
        target_categories: Categories to test on, from any of the targets; all by default.
        root: Folder of published data sets; anomalib's own folder by default.
        train_batch_size: Images per training step.
        eval_batch_size: Images per step in validation and test.
        num_workers: Number of processes that read images, at most one per processor.
        val_fraction: Share of each category and label of the source that is held out for validation, in (0, 1).
        seed: Seed of the held-out part, of the order of training images and of synthetic pictures.
        synthetic_samples: Number of synthetic pictures per category, good and defective together.
        synthetic_size: Side of a synthetic picture in pixels.
        synthetic_level: How much synthetic defects stand out: "mixed", "easy", "medium" or "hard".
        synthetic_world: What synthetic defects are: "damage", or "looks" that are normal on other products.
        train_augmentations: Transform of image and mask of a training sample together; none by default.
        mask_values: Levels of masks that are anomalous, as a list, or "nonzero" for all but 0, for your own folders and
            lists whose masks have other levels than 0 and 255. Published data sets are read as published.
        masks: Masks of the source that the training uses: "auto", those of categories that have them, whose anomalous
            images then all need one; "some", also those of categories in which only some of the anomalous images have
            one; "none", no mask. Images without masks train by their labels.

    Raises:
        InputError: On first use: a name is unknown, a folder is unusable, or source and target have the same data.
    """

    # Its training split shows other things than its test split, so a model must take no reference images from there.
    trains_on_other_data: ClassVar[bool] = True

    def __init__(
        self,
        source: DataSetSpecs = "synthetic",
        target: DataSetSpecs = "synthetic",
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
        synthetic_world: str = "damage",
        train_augmentations: Transform | None = None,
        mask_values: int | list[int] | str | None = None,
        masks: str = "auto",
    ) -> None:
        super().__init__(
            train_augmentations=train_augmentations,
            train_batch_size=train_batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=min(num_workers, processors()),
            seed=seed,
        )
        self.source = as_list(source)
        self.target = as_list(target)
        self.source_categories = source_categories
        self.target_categories = target_categories
        self.root = root
        self.val_fraction = val_fraction
        self.synthetic_samples = synthetic_samples
        self.synthetic_size = synthetic_size
        self.synthetic_level = synthetic_level
        self.synthetic_world = synthetic_world
        self.mask_values = mask_values
        self.masks = masks
        self.train_data: LabelledImages
        self.val_data: LabelledImages
        self.test_data: LabelledImages
        self._names: dict[str, Path] | None = None
        self._validated: list[LabelledImages] = []

    @property
    def sources(self) -> list[str]:
        """Categories to train on, as ``set/category``."""
        return [f"{each.name}/{category}" for each, categories in self._selections[0] for category in categories]

    @property
    def targets(self) -> list[str]:
        """Categories to test on, as ``set/category``."""
        return [f"{each.name}/{category}" for each, categories in self._selections[1] for category in categories]

    @property
    def target_datasets(self) -> dict[str, LabelledImages]:
        """Test images by ``set/category``; ``image_path`` is always a file, also for a synthetic picture."""
        self._need_setup()
        samples = self.test_data.samples
        keys = samples["set"] + "/" + samples["category"]
        augmentations = self.test_data.augmentations
        return {key: LabelledImages(samples[keys == key], augmentations, self.name) for key in self.targets}

    @property
    def samples(self) -> DataFrame:
        """Table with one row per image of all splits, with split (train, val or test), label, set and category."""
        self._need_setup()
        return pd.concat([part.samples for part in (self.train_data, self.val_data, self.test_data)], ignore_index=True)

    def only(self, target: str) -> "ZeroShotTransfer":
        """Return the same transfer with a single target; anomalib keeps its results in a folder of that name.

        Args:
            target: One of ``targets``.

        Raises:
            InputError: There is no such target.
        """
        source, targets = self._selections
        every = ((each, category) for each, categories in targets for category in categories)
        selections: list[Selection] = [
            (each, (category,)) for each, category in every if f"{each.name}/{category}" == target
        ]
        if not selections:
            raise InputError(f"'{target}' is not among the targets; they are {', '.join(self.targets)}.")
        single = copy.copy(self)
        single._selections = (source, selections)
        single._is_setup = False
        for part in ("train_data", "val_data", "test_data"):
            single.__dict__.pop(part, None)
        single._validated = []
        single.trainer = None
        single.category = target
        return single

    def picture_name(self, image_path: str) -> Path | None:
        """Return a relative path for the result picture of a test image, unique among all test images.

        The path consists of data set, category, label, and the path of the image inside the folder of that label. It
        is None for an image that is not among the test images.
        """
        self._need_setup()
        if self._names is None:
            self._names = {}
            for names, group in self.test_data.samples.groupby(["set", "category", "label"]):
                folder = common_folder(group["image_path"])
                self._names |= {path: Path(*names, picture_path(folder, path)) for path in group["image_path"]}
        return self._names.get(address_of(image_path))

    def train_dataloader(self) -> DataLoader[Any]:
        """Return a loader of the training images, shuffled in an order that depends on ``seed`` only.

        Give a one-class model the normal images only, and one that needs masks the images with masks; warn of it.

        Raises:
            InputError: The model needs normal images, and there are none.
        """
        generator = torch.Generator().manual_seed(self.seed or 0)
        model = getattr(self.trainer, "lightning_module", None)
        images = (normal_images_only if is_one_class(model) else masked_images_only)(self.train_data, model)
        return DataLoader(
            images,
            batch_size=self.train_batch_size,
            sampler=Share(RandomSampler(images, generator=generator), *place()),
            num_workers=self.num_workers,
            collate_fn=self.external_collate_fn or images.collate_fn,
            generator=generator,
        )

    def val_dataloader(self) -> Any:
        """Return one loader of the images held out; no batch of it mixes images with and without masks."""
        if self.val_data.samples["masked"].nunique() < 2:
            return super().val_dataloader()
        return uniform_loader(self.val_data, self.eval_batch_size, self.num_workers, self.external_collate_fn)

    def test_dataloader(self) -> DataLoader[Any] | list[DataLoader[Any]]:
        """Return one loader, or two if only some targets have masks, so that no batch mixes images with and without."""
        home = self.name if self._needs_files() else None
        loaders = loaders_apart(self.test_data, self.eval_batch_size, self.num_workers, self.external_collate_fn, home)
        return loaders[0] if len(loaders) == 1 else loaders

    def prepare_data(self) -> None:
        """Let anomalib download missing published data sets, if it can.

        Raises:
            InputError: There is no network, the download fails, or the archive is not the published one.
        """
        for each, _ in (*self._selections[0], *self._selections[1]):
            if isinstance(each, PublishedSet):
                each.fetch()

    def setup(self, stage: str | None = None) -> None:
        """List all images; for a run of a trainer also validate all masks that it needs, before hours are spent.

        Raises:
            InputError: A data set cannot be used as it is, or a mask does not tell which pixels are anomalous.
        """
        super().setup(stage)
        if self.trainer is None:
            return
        source = [] if stage == TrainerFn.TESTING else [self.train_data, self.val_data]
        if stage == TrainerFn.FITTING and self.train_data not in self._validated:
            report_missing_masks(pd.concat([part.samples for part in source]), self.masks)
        for parts in (source, [self.test_data]):
            new = [part for part in parts if part not in self._validated]
            if new:
                validate_masks(pd.concat([part.samples for part in new], ignore_index=True))
            self._validated += new

    # Not in the constructor, whose errors anomalib's command line would hide.
    @cached_property
    def _selections(self) -> tuple[list[Selection], list[Selection]]:
        """Data sets and categories of the source, and those of the target."""
        synthetic = SyntheticSet(
            self.synthetic_samples, self.synthetic_size, self.seed or 0, self.synthetic_level, self.synthetic_world
        )
        sources = [find_set(spec, root=self.root, synthetic=synthetic) for spec in self.source]
        targets = [find_set(spec, root=self.root, synthetic=synthetic) for spec in self.target]
        return assign_categories(sources, targets, self.source_categories, self.target_categories)

    def _setup(self, _stage: str | None = None) -> None:
        values = parse_mask_values(self.mask_values)
        if values is not None and all(each.has_mask_rule for part in self._selections for each, _ in part):
            raise InputError(
                f"mask_values={self.mask_values} is for masks in folders or lists of your own, and all of source and "
                "target say themselves how theirs are read; leave it out."
            )
        masks = parse_mask_use(self.masks)
        source, target = list_images(self._selections[0], values, masks), list_images(self._selections[1], values)
        refuse_shared_images(source, target)
        self._names = None
        validation = mark_validation(source, self.val_fraction, self.seed or 0)
        self.train_data = LabelledImages(source[~validation].assign(split=Split.TRAIN.value))
        self.val_data = LabelledImages(source[validation].assign(split=Split.VAL.value))
        self.test_data = LabelledImages(target.assign(split=Split.TEST.value))

    def _create_test_split(self) -> None:
        """Do nothing: all images of the targets are tested; the base class would divide them by label."""

    def _create_val_split(self) -> None:
        """Do nothing: ``_setup`` holds images out; the base class ignores categories and may leave a label out."""

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


# If this import is what loaded anomalib, its hook ran too early to see the class.
register_datamodules()
