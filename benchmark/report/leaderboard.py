"""From result files to rows of figures: means over categories and seeds, never across backbones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev

from anomalib_cops.errors import InputError
from anomalib_cops.plugin import MODELS

from ..plan.cells import BETWEEN_SOURCES, last_name
from ..records.result import METRICS, Result

ROLES = ("method", "baseline", "ablation")
MEAN = ""
"""In place of a category: the mean over all categories of a target."""


@dataclass(frozen=True)
class Figure:
    """A metric over seeds.

    Attributes:
        mean: In [0, 1].
        deviation: Sample standard deviation; None of a single seed.
        seeds: How many.
    """

    mean: float
    deviation: float | None
    seeds: int


@dataclass
class Row:
    """One method with one backbone.

    Attributes:
        method: Name.
        model: Class.
        role: One of ``ROLES``.
        backbone: What its ranking is called.
        results: By target and seed.
    """

    method: str
    model: str
    role: str
    backbone: str
    results: dict[str, dict[int, Result]] = field(default_factory=dict)

    def figure(self, target: str, metric: str, category: str = MEAN) -> Figure | None:
        """A figure over all seeds; None if there is none, or a category is missing."""
        seeds = self.results.get(target, {})
        values = [_value(result, metric, category) for result in seeds.values()]
        known = [value for value in values if value is not None]
        if not known or len(known) < len(values):
            return None
        return Figure(fmean(known), stdev(known) if len(known) > 1 else None, len(known))

    def hole(self, target: str) -> str:
        """Why there is no figure of a target: failed, how much of it is there, or nothing is; empty if all is there."""
        seeds = self.results.get(target)
        if not seeds:
            return "not run"
        if any(result.failures for result in seeds.values()):
            return "failed"
        missing = sum(len(result.missing) for result in seeds.values())
        expected = sum(len(result.expected) for result in seeds.values())
        return f"{expected - missing} of {expected}" if missing or not expected else ""

    def sources(self) -> list[str]:
        """What it was trained on."""
        return sorted({result.source for seeds in self.results.values() for result in seeds.values()})

    @property
    def sort_key(self) -> tuple[int, str]:
        """Methods first, ablations last."""
        return ROLES.index(self.role), self.method.casefold()


@dataclass
class Board:
    """All rows with one backbone.

    Attributes:
        backbone: Which.
        rows: Methods first.
    """

    backbone: str
    rows: list[Row]

    @property
    def targets(self) -> list[str]:
        """All that any row was tested on; the synthetic world first."""
        return sorted(
            {target for row in self.rows for target in row.results}, key=lambda name: (name != "synthetic", name)
        )

    @property
    def metrics(self) -> list[str]:
        """All that any target has."""
        return [name for name in METRICS if any(self.has(target, name) for target in self.targets)]

    def has(self, target: str, metric: str) -> bool:
        """Whether the labels of a target allow a metric."""
        return any(
            metric in each.scores
            for row in self.rows
            for result in row.results.get(target, {}).values()
            for each in result.categories.values()
        )

    def categories(self, target: str) -> list[str]:
        """Of a target, as any row knows them."""
        return sorted(
            {name for row in self.rows for result in row.results.get(target, {}).values() for name in result.expected}
        )

    def of(self, *roles: str) -> list[Row]:
        """The rows of some roles."""
        return [row for row in self.rows if row.role in roles]

    def failures(self) -> list[str]:
        """What went wrong, a sentence each."""
        return [
            f"{row.method} on {target}{'/' + category if category else ''}, seed {seed}: {message}"
            for row in self.rows
            for target, seeds in sorted(row.results.items())
            for seed, result in sorted(seeds.items())
            for category, message in sorted(result.failures.items())
        ]

    def unlike(self) -> list[str]:
        """Targets whose rows did not see the same images, so that their figures cannot be compared."""
        seen: dict[tuple[str, str, int], set[str]] = {}
        for row in self.rows:
            for target, seeds in row.results.items():
                for seed, result in seeds.items():
                    for name, each in result.categories.items():
                        seen.setdefault((target, name, seed), set()).add(each.images)
        return sorted({target for (target, _, _), digests in seen.items() if len(digests) > 1})


def boards(results: Iterable[tuple[Path, Result]]) -> list[Board]:
    """Sort results into rankings.

    A method that was trained on several sources, each with its own targets, is one row, as in the papers. Where two
    sources serve one target, there is a row per source.

    Args:
        results: With their files; of one setting each, see ``newest.py``.

    Raises:
        InputError: A result was trained on what it was tested on.
    """
    results = list(results)
    for path, result in results:
        refuse_leak(path, result)
    double = _served_twice([result for _, result in results])
    rows: dict[tuple[str, str], Row] = {}
    for _, result in results:
        name = result.method
        if (result.method, result.backbone) in double:
            name = f"{result.method} ← {result.source}"
        row = rows.setdefault((result.backbone, name), Row(name, result.model, result.role, result.backbone))
        row.results.setdefault(result.target, {})[result.seed] = result
    backbones = sorted({backbone for backbone, _ in rows})
    return [
        Board(backbone, sorted((row for key, row in rows.items() if key[0] == backbone), key=lambda row: row.sort_key))
        for backbone in backbones
    ]


def refuse_leak(path: Path, result: Result) -> None:
    """Refuse what was tested on what it was trained on.

    Raises:
        InputError: Source and target are the same data, and some category is on both sides.
    """
    tested = set(result.categories)
    for name, categories in _trained_on(result):
        if name != last_name(str(result.settings.get("target"))):
            continue
        if shared := sorted(tested & categories if categories else tested):
            raise InputError(
                f"{path} was trained and tested on the same data ({name}: {', '.join(shared)}), which is not "
                "zero-shot; move it away."
            )


def ranks(values: Sequence[float | None]) -> list[int | None]:
    """1 for the largest; equal values share the better rank, and what is not there has none."""
    known = [value for value in values if value is not None]
    return [None if value is None else 1 + sum(other > value for other in known) for value in values]


def _trained_on(result: Result) -> list[tuple[str, set[str]]]:
    """Names of data sets with the categories that were trained on, all if there are none."""
    settings = result.settings.get("training", {})
    weights = settings.get("options", {}).get("weights")
    if known := settings.get("resolved", {}).get("weights"):
        return [(each["set"], set(each["categories"])) for each in known["trained_on"]]
    if weights and result.model in MODELS:
        # Of a version that did not keep what they were trained on.
        from anomalib_cops.weights.published import PUBLISHED

        published = PUBLISHED[result.model].get(str(weights))
        return [(name, set()) for name in published.trained_on] if published else []
    if result.training is None or not result.training.images:
        return []
    sources = str(settings.get("source")).split(BETWEEN_SOURCES)
    return [(last_name(source), set(result.training.categories)) for source in sources]


def _value(result: Result, metric: str, category: str) -> float | None:
    if category:
        each = result.categories.get(category)
        return None if each is None else each.scores.get(metric)
    if result.missing or result.failures:
        return None
    values = [each.scores[metric] for each in result.categories.values() if metric in each.scores]
    return fmean(values) if values else None


def _served_twice(results: Sequence[Result]) -> set[tuple[str, str]]:
    """Methods and backbones that have two sources for one target."""
    sources: dict[tuple[str, str, str], set[str]] = {}
    for result in results:
        sources.setdefault((result.method, result.backbone, result.target), set()).add(result.source)
    return {(method, backbone) for (method, backbone, _), names in sources.items() if len(names) > 1}
