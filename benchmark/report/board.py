"""Define boards: rows of results with one backbone and number of references, and figures as means over repetitions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

from ..plan.reference_draw import shots_text
from ..records.result import AT_THRESHOLD, METRICS, Result

ROLES = ("method", "baseline", "ablation")
MEAN = ""
"""Stands in place of a category for the mean over all categories of a target."""


Repetition = tuple[int, int]
"""Seed of the training, and seed of the draw of references, which is 0 without references."""


@dataclass(frozen=True)
class Figure:
    """The value of a metric over seeds, and over draws of references.

    Attributes:
        mean: Mean over repetitions, in [0, 1].
        deviation: Sample standard deviation; None for a single repetition.
        seeds: Number of repetitions.
    """

    mean: float
    deviation: float | None
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Figure":
        """Summarise the values of all repetitions, at least one."""
        return cls(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


@dataclass
class BoardRow:
    """One method with one backbone.

    Attributes:
        method: Name of the method, with the source where several sources serve the same target.
        model: Name of the model, or path of its class.
        role: One of ``ROLES``.
        backbone: Name of the board.
        results: Results by target and repetition.
    """

    method: str
    model: str
    role: str
    backbone: str
    results: dict[str, dict[Repetition, Result]] = field(default_factory=dict)

    @property
    def all_results(self) -> list[Result]:
        """Results of all targets and repetitions."""
        return [result for repetitions in self.results.values() for result in repetitions.values()]

    def figure(self, target: str, metric: str, category: str = MEAN) -> Figure | None:
        """Return a figure over all repetitions; None if there is none, or if a category is missing."""
        return _summary([_value(result, metric, category) for result in self.results.get(target, {}).values()])

    def figure_over(self, targets: Sequence[str], metric: str) -> Figure | None:
        """Return the mean over targets, over all repetitions; None if a repetition lacks one of the targets."""
        repetitions = sorted({key for target in targets for key in self.results.get(target, {})})
        return _summary([self._mean_of(repetition, targets, metric) for repetition in repetitions])

    def _mean_of(self, repetition: Repetition, targets: Sequence[str], metric: str) -> float | None:
        results = [self.results.get(target, {}).get(repetition) for target in targets]
        values = [None if result is None else _value(result, metric, MEAN) for result in results]
        present = [value for value in values if value is not None]
        return fmean(present) if len(present) == len(values) else None

    def hole(self, target: str) -> str:
        """Say why a target has no figure: "not run", "failed", or "3 of 15" categories; empty if nothing is missing."""
        repetitions = self.results.get(target)
        if not repetitions:
            return "not run"
        if any(result.failures for result in repetitions.values()):
            return "failed"
        missing = sum(len(result.missing) for result in repetitions.values())
        expected = sum(len(result.expected) for result in repetitions.values())
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
    """All rows with one backbone and one number of references.

    Attributes:
        backbone: The backbone, or the name that a configuration gives a foreign model's.
        rows: The rows, methods first.
        shots: Number of references per category that was asked for; None where the configuration has no references.
    """

    backbone: str
    rows: list[BoardRow]
    shots: int | None = None

    @property
    def name(self) -> str:
        """The backbone, with the number of references if the configuration has references."""
        return self.backbone if self.shots is None else f"{self.backbone}, {shots_text(self.shots)}"

    @property
    def targets(self) -> list[str]:
        """Everything that any row was tested on, the synthetic set first."""
        return sorted(
            {target for row in self.rows for target in row.results}, key=lambda name: (name != "synthetic", name)
        )

    @property
    def metrics(self) -> list[str]:
        """Metrics that any target has and rows are ranked by, in the order of tables."""
        return [name for name in METRICS if self.targets_with(name)]

    @property
    def threshold_figures(self) -> list[str]:
        """Figures at a fixed threshold that any target has."""
        return [name for name in AT_THRESHOLD if self.targets_with(name)]

    def targets_with(self, metric: str) -> list[str]:
        """List the targets that have a metric."""
        return [target for target in self.targets if self.has_metric(target, metric)]

    def has_metric(self, target: str, metric: str) -> bool:
        """Return whether any row has a metric on a target."""
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
            f"{row.method} on {target}{'/' + category if category else ''}, {self._named(repetition)}: {message}"
            for row in self.rows
            for target, repetitions in sorted(row.results.items())
            for repetition, result in sorted(repetitions.items())
            for category, message in sorted(result.failures.items())
        ]

    def incomparable_targets(self) -> list[str]:
        """List the targets of which rows saw different images, so that their figures cannot be compared."""
        digests: dict[tuple[str, str, Repetition], set[str]] = {}
        for row in self.rows:
            for target, repetitions in row.results.items():
                for repetition, result in repetitions.items():
                    for name, each in result.categories.items():
                        digests.setdefault((target, name, repetition), set()).add(each.images)
        return sorted({target for (target, _, _), different in digests.items() if len(different) > 1})

    def _named(self, repetition: Repetition) -> str:
        seed, draw = repetition
        return f"seed {seed}" if self.shots is None else f"seed {seed}, {shots_text(self.shots)}, draw {draw}"

    def _results_on(self, target: str) -> list[Result]:
        return [result for row in self.rows for result in row.results.get(target, {}).values()]


def ranks(values: Sequence[float | None]) -> list[int | None]:
    """Rank values, 1 for the largest; equal values share the better rank, and None has no rank."""
    present = [value for value in values if value is not None]
    return [None if value is None else 1 + sum(other > value for other in present) for value in values]


def _summary(values: Sequence[float | None]) -> Figure | None:
    """Return the figure of some repetitions; None if there is none, or one lacks a value."""
    present = [value for value in values if value is not None]
    return Figure.of(present) if present and len(present) == len(values) else None


def _value(result: Result, metric: str, category: str) -> float | None:
    """Return the value of a category or the mean over all; None if anything that it needs is missing."""
    if category:
        each = result.categories.get(category)
        return None if each is None else each.scores.get(metric)
    if result.missing or result.failures:
        return None
    values = [each.scores[metric] for each in result.categories.values() if metric in each.scores]
    return fmean(values) if values else None
