"""Choose the number of prototypes per state, M, on a part of the auxiliary set that is held out for this."""

import copy
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
import torch
from anomalib.data import ImageBatch, InferenceBatch
from torch.utils.data import DataLoader, Subset
from torchvision.transforms.v2 import Resize

from anomalib_cops.data.category_batch import check_levels, known_masks
from anomalib_cops.data.dataset import LabelledImages, collate_uniform
from anomalib_cops.errors import InputError
from anomalib_cops.host.evaluator import AUROC
from anomalib_cops.host.feature_cache import FeatureCache, features_of
from anomalib_cops.host.held_out import Rows, categories_of, held_out_rows
from anomalib_cops.metrics import streaming
from anomalib_cops.metrics.by_category import CategoryTally, mean_figures

CANDIDATES = (2, 4, 6, 8, 10)
"""Numbers of prototypes to choose from."""
EPOCHS = 2
"""Number of epochs that each candidate is trained for, unless the training itself is shorter."""

logger = logging.getLogger(__name__)


def best_prototype_count(module: Any, data: Any) -> int:
    """Train a small model for each candidate, all on the same batches, and return the best number of prototypes.

    The best has the highest mean of image AUROC and pixel AUROC over the categories held out; of equal ones it is the
    smallest. The frozen encoder runs once per image, without autocast. The choice depends on the data and on the seed
    in the settings, and random numbers elsewhere are left as they are.

    Args:
        module: the Lightning module, attached to a trainer, with the encoder and the settings of the candidates.
        data: the datamodule to train on.

    Raises:
        InputError: the data set does not name its categories, or the labels held out allow no figure.
    """
    images, seed = plain_images(data), module.model.settings.seed
    held_out = held_out_rows(images.samples, seed)
    candidates = {count: with_prototypes(module, count, seed) for count in CANDIDATES}
    logger.info(
        "Choosing n_prototypes among %s: training on %d images, comparing on %d of %s.",
        ", ".join(map(str, CANDIDATES)),
        (~held_out).sum(),
        held_out.sum(),
        ", ".join(sorted(set(categories_of(images.samples)[held_out]))),
    )
    limit = module.trainer.max_epochs
    epochs = EPOCHS if limit is None or limit < 0 else min(EPOCHS, limit)
    with _features(module, images) as features:
        reader = _Reader(module, images, features, data.num_workers)
        generator = torch.Generator().manual_seed(seed)
        _train(candidates, reader, ~held_out, epochs, data.train_batch_size, generator)
        figures = _compare(candidates, reader, held_out, data.eval_batch_size)
    best = max(figures, key=lambda count: (figures[count], -count))
    found = ", ".join(f"{count}: {100 * figure:.2f} %" for count, figure in figures.items())
    logger.info("n_prototypes=%d was chosen; the mean of image and pixel AUROC by number is %s.", best, found)
    return best


def plain_images(data: Any) -> LabelledImages:
    """Return the images that a datamodule trains on, without augmentations.

    Raises:
        InputError: there is no datamodule, or its data set does not name the categories.
    """
    images = getattr(data, "train_data", None)
    if not isinstance(images, LabelledImages):
        raise InputError(
            "n_prototypes='auto' holds categories of the auxiliary set out, and these are known of ZeroShotTransfer "
            "only; train with it, or give a number such as n_prototypes=6."
        )
    plain = copy.copy(images)
    # The host appends the model's own resizing, which alone is no augmentation.
    if not isinstance(plain.augmentations, Resize | None):
        plain.augmentations = data.val_data.augmentations
    return plain


def with_prototypes(module: Any, count: int, seed: int | None) -> Any:
    """Build the torch model of a module with another number of prototypes, in its precision and on its device.

    Args:
        module: the Lightning module, attached to a trainer.
        count: the number.
        seed: seed of the initial prompts; None for the global random numbers.
    """
    strategy = module.trainer.strategy
    device = strategy.root_device
    with torch.random.fork_rng([device] if device.type == "cuda" else [], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        model = module.method.build(module.clip, replace(module.model.settings, n_prototypes=count))
    return strategy.precision_plugin.convert_module(model).to(device)


@contextmanager
def _features(module: Any, images: LabelledImages) -> Iterator[FeatureCache]:
    """Open the user's feature cache, or one in a temporary folder."""
    options, precision = module.cache_options, module.trainer.precision
    as_computed = precision if precision.endswith("true") else "32-true"
    with nullcontext(options.feature_cache) if options.feature_cache else tempfile.TemporaryDirectory() as folder:
        # The training finds these features again unless its precision is mixed.
        yield features_of(module, replace(options, feature_cache=folder), as_computed, images.samples["image_path"])


@dataclass(frozen=True)
class _Reader:
    """Read batches of images as the model takes them in training, with their features.

    Attributes:
        module: the Lightning module.
        images: the images, without augmentations.
        features: the cache.
        num_workers: number of processes that read images.
    """

    module: Any
    images: LabelledImages
    features: FeatureCache
    num_workers: int

    def batches(
        self, rows: Rows, size: int, collate: Callable[[Any], Any], generator: torch.Generator | None = None
    ) -> Iterator[tuple[Any, Any]]:
        """Yield the batches of the marked images and their features, in random order if a generator is given."""
        module, strategy = self.module, self.module.trainer.strategy
        loader: DataLoader[Any] = DataLoader(
            Subset(self.images, np.flatnonzero(rows).tolist()),
            batch_size=size,
            shuffle=generator is not None,
            generator=generator or torch.Generator(),  # without one, the loader would draw from the global numbers
            num_workers=self.num_workers,
            collate_fn=collate,
        )
        for batch in loader:
            batch = strategy.batch_to_device(strategy.precision_plugin.convert_input(batch))
            if module.pre_processor:
                module.pre_processor.on_train_batch_start(module.trainer, module, batch, 0)
            check_levels(batch)
            yield batch, self.features(batch.image, batch.image_path)


def _train(
    candidates: dict[int, Any], reader: _Reader, rows: Rows, epochs: int, size: int, generator: torch.Generator
) -> None:
    """Train all candidates on the same batches and noise, as the training does."""
    module = reader.module
    optimisers = {}
    for count, model in candidates.items():
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimisers[count] = torch.optim.Adam(trained, lr=module.learning_rate, betas=module.betas)
    for _ in range(epochs):
        for batch, features in reader.batches(rows, size, reader.images.collate_fn, generator):
            masks = torch.zeros_like(batch.image[:, 0]) if batch.gt_mask is None else batch.gt_mask.float()
            noise = torch.randn(*features.cls.shape, generator=generator).to(features.cls)
            masked = known_masks(batch)
            for count, model in candidates.items():
                loss = model.loss(
                    batch.image, masks, batch.gt_label.float(), noise=noise, features=features, masked=masked
                )["loss"]
                optimisers[count].zero_grad()
                loss.backward()
                optimisers[count].step()


def _compare(candidates: dict[int, Any], reader: _Reader, held_out: Rows, size: int) -> dict[int, float]:
    """Return the figure of each candidate on the images held out, in [0, 1]."""
    samples = reader.images.samples
    paths, categories = samples["image_path"].astype(str)[held_out], categories_of(samples)[held_out]
    places = dict(zip(paths, categories, strict=True))
    metrics = [
        AUROC(fields=["pred_score", "gt_label"], prefix="image_"),
        streaming.AUROC(fields=["anomaly_map", "gt_mask"], prefix="pixel_"),
    ]
    tallies = {count: CategoryTally(metrics, places, early=True) for count in candidates}
    masked = samples["masked"].to_numpy(bool)
    for rows in (held_out & masked, held_out & ~masked):
        for batch, features in reader.batches(rows, size, collate_uniform):
            for count, model in candidates.items():
                tallies[count].update(_scored(batch, model.eval()(batch.image, features=features)))
    figures = {}
    for count, tally in tallies.items():
        means = mean_figures(tally.compute())
        known = [each for name in ("mean_image_AUROC", "mean_pixel_AUROC") if (each := means[name]) is not None]
        if not known:
            raise InputError(
                "The images held out to choose n_prototypes have no normal or no anomalous images; add some to the "
                "auxiliary set, or give a number such as n_prototypes=6."
            )
        figures[count] = fmean(known)
    return figures


def _scored(batch: Any, found: InferenceBatch) -> ImageBatch:
    """Return labels and prediction of a batch on the CPU, where the figures are counted."""
    values = {
        "image": batch.image,
        "gt_label": batch.gt_label,
        "gt_mask": batch.gt_mask,
        "pred_score": found.pred_score,
        "anomaly_map": found.anomaly_map,
    }
    on_cpu = {name: value.cpu() for name, value in values.items() if value is not None}
    return ImageBatch(image_path=batch.image_path, **on_cpu)
