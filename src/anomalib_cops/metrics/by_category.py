"""Metrics of each category: papers report their mean, and not the metric of all images together."""

import copy
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from anomalib.data import ImageBatch

from anomalib_cops.data.synthetic.addresses import address_of
from anomalib_cops.errors import InputError
from anomalib_cops.metrics.streaming import PixelCounts

Figures = dict[str, float | None]
"""Values in [0, 1] by name of the metric; None if the labels do not allow the metric."""


class CategoryTally:
    """Metrics of every category, whose images may come in any order.

    A complete category is computed and its metrics are dropped, and of the others only the current one keeps its pixel
    counts unpacked. So if categories come one after another, the memory is that of one set of metrics.

    Args:
        metrics: Metrics of anomalib, which are copied.
        categories: Category of every image of the test, by path.
        early: Compute a category after its last image; not possible if other processes have a share of its images.
    """

    def __init__(self, metrics: Iterable[Any], categories: Mapping[str, str], *, early: bool) -> None:
        self._new: list[Any] = [copy.deepcopy(metric) for metric in metrics]
        for metric in self._new:
            metric.reset()
        self._fields = {field for metric in self._new for field in metric.fields}
        self._categories = categories
        self._missing = Counter(categories.values())
        self._early = early
        self._open: dict[str, list[Any]] = {}
        self._figures: dict[str, Figures] = {}
        self._empty_batch: ImageBatch | None = None
        self._current = ""

    def update(self, batch: ImageBatch) -> None:
        """Count the images of a batch in their categories."""
        rows: dict[str, list[int]] = {}
        for row, path in enumerate(batch.image_path or ()):
            rows.setdefault(self._categories[address_of(str(path))], []).append(row)
        for category, chosen in rows.items():
            part = self._rows(batch, chosen)
            for metric in self._unpacked(category):
                metric.update(part)
            self._missing[category] -= len(chosen)
            if self._early and not self._missing[category]:
                self._finish(category)
        self._empty_batch = self._rows(batch, [])

    def compute(self) -> dict[str, Figures]:
        """Return the figures of each category, sorted by name; every process gets those of all processes."""
        for category in sorted(self._missing):
            if category not in self._figures:
                for metric in self._unpacked(category):
                    # Without images of this category in this process, the metrics still need the type of the scores.
                    metric.update(self._empty_batch)
                self._finish(category)
        return dict(sorted(self._figures.items()))

    def _unpacked(self, category: str) -> list[Any]:
        """Return the metrics of a category, and pack the pixel counts of the one before."""
        if category != self._current:
            for metric in self._open.get(self._current, ()):
                if isinstance(metric, PixelCounts):
                    metric.pack()
            self._current = category
        return self._open.setdefault(category, copy.deepcopy(self._new))

    def _finish(self, category: str) -> None:
        found = {metric.name: metric.compute() for metric in self._open.pop(category)}
        self._figures[category] = {name: None if value is None else float(value) for name, value in found.items()}

    def _rows(self, batch: ImageBatch, rows: Sequence[int]) -> ImageBatch:
        """Return some rows of a batch, with the fields that the metrics need."""
        values = {field: getattr(batch, field) for field in {"image", *self._fields}}
        return ImageBatch(**{name: value[rows] for name, value in values.items() if value is not None})


def categories_by_path(loaders: Any) -> dict[str, str]:
    """Return the ``set/category`` of every image by path, from the tables of samples of the data sets behind loaders.

    The result is empty if a data set has no table with these columns.

    Raises:
        InputError: An image is in two categories.
    """
    categories: dict[str, str] = {}
    for loader in loaders if isinstance(loaders, (list, tuple)) else [loaders]:
        samples: Any = getattr(getattr(loader, "dataset", None), "samples", None)
        if not {"image_path", "set", "category"} <= set(getattr(samples, "columns", ())):
            return {}
        names = samples["set"].astype(str) + "/" + samples["category"].astype(str)
        for path, name in zip(samples["image_path"].astype(str), names, strict=True):
            if categories.setdefault(path, name) != name:
                raise InputError(f"{path} is an image of {categories[path]} and of {name}; test these one by one.")
    return categories


def mean_figures(categories: Mapping[str, Figures]) -> Figures:
    """Return the means over the categories that have a figure.

    Args:
        categories: Figures by ``set/category``.

    Returns:
        For one data set, the mean over its categories as ``mean_NAME``. For several data sets, the mean over the
        categories of each as ``mean_NAME/SET``, and the mean of these means as ``mean_NAME``.
    """
    sets = by_set(categories)
    means: Figures = {}
    for name in next(iter(categories.values())):
        each = {data: _mean(found[name] for found in figures) for data, figures in sets.items()}
        means[f"mean_{name}"] = _mean(each.values())
        if len(each) > 1:
            means |= {f"mean_{name}/{data}": value for data, value in each.items()}
    return means


def by_set(categories: Mapping[str, Figures]) -> dict[str, list[Figures]]:
    """Return the figures of the categories of each data set, by name of the data set."""
    sets: dict[str, list[Figures]] = {}
    for category, figures in categories.items():
        sets.setdefault(category.split("/")[0], []).append(figures)
    return sets


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
