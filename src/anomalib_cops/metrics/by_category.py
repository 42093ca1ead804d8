"""Figures of each category, as papers report their mean and not the figure of all images together."""

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
"""By the metric's name, in [0, 1]; none where the labels do not allow the figure."""


class CategoryTally:
    """Metrics of every category, whose images may come in any order.

    A category that is complete is computed and forgotten, and of others only the current one has its pixel counts
    ready for more: where categories come one after another, the memory is that of one set of metrics.

    Args:
        metrics: of anomalib; copies of them are used.
        places: category of every image that will come, by path.
        early: compute a category with its last image; not where other processes have a share of it.
    """

    def __init__(self, metrics: Iterable[Any], places: Mapping[str, str], *, early: bool) -> None:
        self._new: list[Any] = [copy.deepcopy(metric) for metric in metrics]
        for metric in self._new:
            metric.reset()
        self._fields = {field for metric in self._new for field in metric.fields}
        self._places = places
        self._missing = Counter(places.values())
        self._early = early
        self._open: dict[str, list[Any]] = {}
        self._figures: dict[str, Figures] = {}
        self._nothing: ImageBatch | None = None
        self._current = ""

    def update(self, batch: ImageBatch) -> None:
        """Count the images of a batch in their categories."""
        rows: dict[str, list[int]] = {}
        for row, path in enumerate(batch.image_path or ()):
            rows.setdefault(self._places[address_of(str(path))], []).append(row)
        for category, chosen in rows.items():
            part = self._rows(batch, chosen)
            for metric in self._turn_to(category):
                metric.update(part)
            self._missing[category] -= len(chosen)
            if self._early and not self._missing[category]:
                self._finish(category)
        self._nothing = self._rows(batch, [])

    def compute(self) -> dict[str, Figures]:
        """Figures by category, in order of their names; in every process those of all processes."""
        for category in sorted(self._missing):
            if category not in self._figures:
                for metric in self._turn_to(category):
                    # A process without images of this category must still say of which type its scores are.
                    metric.update(self._nothing)
                self._finish(category)
        return dict(sorted(self._figures.items()))

    def _turn_to(self, category: str) -> list[Any]:
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
        """Some images of a batch, as far as metrics ask for them."""
        values = {field: getattr(batch, field) for field in {"image", *self._fields}}
        return ImageBatch(**{name: value[rows] for name, value in values.items() if value is not None})


def categories_by_path(loaders: Any) -> dict[str, str]:
    """``set/category`` of every image in the tables of samples that loaders' data sets have; nothing without these.

    Raises:
        InputError: an image is in two categories.
    """
    places: dict[str, str] = {}
    for loader in loaders if isinstance(loaders, (list, tuple)) else [loaders]:
        samples: Any = getattr(getattr(loader, "dataset", None), "samples", None)
        if not {"image_path", "set", "category"} <= set(getattr(samples, "columns", ())):
            return {}
        for path, *place in samples[["image_path", "set", "category"]].astype(str).itertuples(index=False):
            category = "/".join(place)
            if places.setdefault(path, category) != category:
                raise InputError(f"{path} is an image of {places[path]} and of {category}; test these one by one.")
    return places


def mean_figures(categories: Mapping[str, Figures]) -> Figures:
    """Means over the categories that have a figure.

    Args:
        categories: figures by ``set/category``.

    Returns:
        Under ``mean_NAME`` that of all categories. With several data sets that of each is under ``mean_NAME/SET``, and
        the mean of these under ``mean_NAME``.
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
    """The figures of each data set's categories."""
    sets: dict[str, list[Figures]] = {}
    for category, figures in categories.items():
        sets.setdefault(category.split("/")[0], []).append(figures)
    return sets


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
