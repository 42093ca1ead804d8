"""Define boards: rows of results with one backbone, and figures as means over categories and seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

from ..records.result import METRICS, Result

ROLES = ("method", "baseline", "ablation")
MEAN = ""
"""Stands in place of a category for the mean over all categories of a target."""


@dataclass(frozen=True)
class Figure:
    """The value of a metric over seeds.

    Attributes:
        mean: Mean over seeds, in [0, 1].
        deviation: Sample standard deviation; None for a single seed.
        seeds: Number of seeds.
    """

    mean: float
    deviation: float | None
    seeds: int


@dataclass
class BoardRow:
    """One method with one backbone.

    Attributes:
        method: Name of the method, with the source where several sources serve the same target.
        model: Name of the model, or path of its class.
        role: One of ``ROLES``.
        backbone: Name of the board.
        results: Results by target and seed.
    """

    method: str
    model: str
    role: str
    backbone: str
    results: dict[str, dict[int, Result]] = field(default_factory=dict)

    @property
    def all_results(self) -> list[Result]:
        """Results of all targets and seeds."""
        return [result for by_seed in self.results.values() for result in by_seed.values()]

    def figure(self, target: str, metric: str, category: str = MEAN) -> Figure | None:
        """Return a figure over all seeds; None if there is none, or if a category is missing."""
        values = [_value(result, metric, category) for result in self.results.get(target, {}).values()]
        present = [value for value in values if value is not None]
        if not present or len(present) < len(values):
            return None
        return Figure(fmean(present), stdev(present) if len(present) > 1 else None, len(present))

    def hole(self, target: str) -> str:
        """Say why a target has no figure: "not run", "failed", or "3 of 15" categories; empty if nothing is missing."""
        by_seed = self.results.get(target)
        if not by_seed:
            return "not run"
        if any(result.failures for result in by_seed.values()):
            return "failed"
        missing = sum(len(result.missing) for result in by_seed.values())
        expected = sum(len(result.expected) for result in by_seed.values())
        return f"{expected - missing} of {expected}" if missing or not expected else ""

    def sources(self) -> list[str]:
        """List what the row's results were trained on."""
        return sorted({result.source for result in self.all_results})

    @property
    def sort_key(self) -> tuple[int, str]:
        """Key that puts methods first and ablations last."""
        return ROLES.index(self.role), self.method.casefold()


@dataclass
class Board:
    """All rows with one backbone.

    Attributes:
        backbone: The backbone, or the name that a configuration gives a foreign model's.
        rows: The rows, methods first.
    """

    backbone: str
    rows: list[BoardRow]

    @property
    def targets(self) -> list[str]:
        """Everything that any row was tested on, the synthetic set first."""
        return sorted(
            {target for row in self.rows for target in row.results}, key=lambda name: (name != "synthetic", name)
        )

    @property
    def metrics(self) -> list[str]:
        """Metrics that any target has, in the order of tables."""
        return [name for name in METRICS if any(self.has_metric(target, name) for target in self.targets)]

    def has_metric(self, target: str, metric: str) -> bool:
        """Return whether the labels of a target allow a metric."""
        return any(metric in each.scores for result in self._results_on(target) for each in result.categories.values())

    def categories(self, target: str) -> list[str]:
        """List the categories of a target that any row was to be tested on."""
        return sorted({name for result in self._results_on(target) for name in result.expected})

    def with_role(self, *roles: str) -> list[BoardRow]:
        """List the rows that have one of the roles."""
        return [row for row in self.rows if row.role in roles]

    def failures(self) -> list[str]:
        """List what went wrong, a sentence each."""
        return [
            f"{row.method} on {target}{'/' + category if category else ''}, seed {seed}: {message}"
            for row in self.rows
            for target, by_seed in sorted(row.results.items())
            for seed, result in sorted(by_seed.items())
            for category, message in sorted(result.failures.items())
        ]

    def incomparable_targets(self) -> list[str]:
        """List the targets of which rows saw different images, so that their figures cannot be compared."""
        digests: dict[tuple[str, str, int], set[str]] = {}
        for row in self.rows:
            for target, by_seed in row.results.items():
                for seed, result in by_seed.items():
                    for name, each in result.categories.items():
                        digests.setdefault((target, name, seed), set()).add(each.images)
        return sorted({target for (target, _, _), different in digests.items() if len(different) > 1})

    def _results_on(self, target: str) -> list[Result]:
        return [result for row in self.rows for result in row.results.get(target, {}).values()]


def ranks(values: Sequence[float | None]) -> list[int | None]:
    """Rank values, 1 for the largest; equal values share the better rank, and None has no rank."""
    present = [value for value in values if value is not None]
    return [None if value is None else 1 + sum(other > value for other in present) for value in values]


def _value(result: Result, metric: str, category: str) -> float | None:
    """Return the value of a category or the mean over all; None if anything that it needs is missing."""
    if category:
        each = result.categories.get(category)
        return None if each is None else each.scores.get(metric)
    if result.missing or result.failures:
        return None
    values = [each.scores[metric] for each in result.categories.values() if metric in each.scores]
    return fmean(values) if values else None
