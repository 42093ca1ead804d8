"""Compute the figures that papers report, and leave out those that a data set's labels do not allow."""

from collections.abc import Mapping
from typing import Any

import anomalib.metrics as host
import torch
from anomalib.data import Batch
from anomalib.metrics import Evaluator
from anomalib.metrics.base import AnomalibMetric
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torchmetrics import Metric

from anomalib_cops.metrics import streaming
from anomalib_cops.metrics.by_category import CategoryTally, Figures, by_set, categories_by_path, mean_figures
from anomalib_cops.precision import KeepsPrecision

COLUMN = 11


class WhereDefined(KeepsPrecision):
    """Make a metric of anomalib give no figure where the labels allow none; mix it in front of the metric.

    Several medical sets have no normal images, and anomalib's metrics would make a figure up for them. The streaming
    metrics of pixels do this by themselves.

    Attributes:
        labels: numbers of normal and anomalous images seen, (2).
        fields: names of the scores and the labels in a batch.
    """

    labels: Tensor
    fields: tuple[str, str]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.add_state("labels", default=torch.zeros(2, dtype=torch.long), dist_reduce_fx="sum")  # type: ignore[operator]

    def update(self, batch: Batch) -> None:
        """Count the labels, then pass the batch on; a batch without labels changes nothing."""
        target = getattr(batch, self.fields[1])
        if target is not None:
            self.labels += torch.bincount(target.flatten().long(), minlength=2).to(self.labels)
            super().update(batch)  # type: ignore[misc]

    def compute(self) -> Tensor | None:
        """Return the figure, or None if only one label was seen."""
        return super().compute() if bool((self.labels > 0).all()) else None  # type: ignore[misc]

    def reset(self) -> None:
        """Forget all batches; call torchmetrics too, as F1Max does not."""
        super().reset()  # type: ignore[misc]
        Metric.reset(self)  # type: ignore[arg-type]


class AUROC(WhereDefined, host.AUROC):  # type: ignore[misc]
    """Area under the ROC curve."""


class AUPR(WhereDefined, host.AUPR):  # type: ignore[misc]
    """Average precision."""


class F1Max(WhereDefined, host.F1Max):  # type: ignore[misc]
    """Best F1 score over all thresholds."""


class CategoryEvaluator(Evaluator):
    """anomalib's evaluator, which pools all test images, with the figures of every category and their means added.

    A test of one category is left to anomalib. After a test of several, log the means (see ``mean_figures``) and print
    a table. The data sets' tables of samples say which image belongs to which category.

    Attributes:
        categories: figures of the last test by ``set/category``; empty if it had one category.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.categories: dict[str, Figures] = {}
        self._tally: CategoryTally | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the counts of an unfinished test out of copies and pickles."""
        return {**self.__dict__, "_tally": None}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look up which image belongs to which category."""
        self.categories = {}
        places = categories_by_path(trainer.test_dataloaders)
        several = len(set(places.values())) > 1
        self._tally = CategoryTally(self.test_metrics, places, early=trainer.world_size == 1) if several else None

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Count the batch among all images, and each image in its category."""
        super().on_test_batch_end(trainer, pl_module, outputs, batch, *args, **kwargs)
        if self._tally is not None:
            self._tally.update(batch)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the figures of all images together, and the means over categories."""
        super().on_test_epoch_end(trainer, pl_module)
        if self._tally is not None:
            self.categories, self._tally = self._tally.compute(), None
            for name, value in mean_figures(self.categories).items():
                if value is not None:
                    self.log(name, value, sync_dist=True)  # type: ignore[operator]

    # Lightning prints its own table after the last hook of the test.
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Print the table of categories."""
        if stage == "test" and self.categories and trainer.is_global_zero and trainer.test_loop.verbose:
            print(category_table(self.categories))


def paper_evaluator() -> CategoryEvaluator:
    """Return an evaluator for tests: image AUROC, AP and F1-max; pixel AUROC, AP and AUPRO in fixed memory."""
    image, pixel = ["pred_score", "gt_label"], ["anomaly_map", "gt_mask"]
    metrics: list[AnomalibMetric] = [metric(fields=image, prefix="image_") for metric in (AUROC, AUPR, F1Max)]
    metrics += [metric(fields=pixel, prefix="pixel_") for metric in (streaming.AUROC, streaming.AUPR, streaming.AUPRO)]
    return CategoryEvaluator(test_metrics=metrics)


def category_table(categories: Mapping[str, Figures]) -> str:
    """Write the figures of all categories and their means as a table, in percent.

    Args:
        categories: figures in [0, 1] by ``set/category``.
    """
    means, names, sets = mean_figures(categories), list(next(iter(categories.values()))), list(by_set(categories))
    rows = {category: [figures[name] for name in names] for category, figures in categories.items()}
    if len(sets) > 1:
        rows |= {f"mean of {data}": [means[f"mean_{name}/{data}"] for name in names] for data in sets}
    rows["mean of these" if len(sets) > 1 else "mean"] = [means[f"mean_{name}"] for name in names]
    width = max(map(len, rows))
    lines = [f"{'percent':{width}}" + "".join(f"  {name:>{COLUMN}}" for name in names)]
    for title, values in rows.items():
        cells = ("–" if value is None else f"{100 * value:.1f}" for value in values)
        lines.append(f"{title:{width}}" + "".join(f"  {cell:>{COLUMN}}" for cell in cells))
    return "\n".join(["The figures above are of all images together; these are of each category:", *lines])
