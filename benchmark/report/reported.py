"""Read what the papers report from ``reported.json``, which also names the sources."""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

UNVERIFIED = "†"


class Reported:
    """Published figures in percent, by model and data set.

    Args:
        content: Content of ``reported.json``.

    Attributes:
        backbone: Backbone that the papers use.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        self.backbone: str = content["backbone"]
        self._methods: dict[str, Any] = content["methods"]

    @property
    def models(self) -> list[str]:
        """Models of this package that have published figures."""
        return list(self._methods)

    def figures(self, model: str, target: str) -> Iterator[tuple[str, float, str]]:
        """Yield metric, figure and mark of a model on a data set; the mark is empty unless the figure is unverified."""
        entry = self._methods.get(model)
        if entry is not None:
            mark = UNVERIFIED if entry["unverified"] else ""
            for metric, value in entry["results"].get(target, {}).items():
                yield metric, value, mark

    def targets(self, model: str, metric: str) -> list[str]:
        """List the data sets for which a metric is published."""
        return [target for target, figures in self._methods[model]["results"].items() if metric in figures]

    def text(self, model: str, target: str, metric: str) -> str:
        """Return a figure with its mark; empty if there is none."""
        return next((f"{value:.1f}{mark}" for name, value, mark in self.figures(model, target) if name == metric), "")

    def value(self, model: str, target: str, metric: str) -> float | None:
        """Return a figure in percent; None if there is none."""
        return next((value for name, value, _ in self.figures(model, target) if name == metric), None)

    def trained_on(self, model: str) -> dict[str, str]:
        """Return the auxiliary set of each target; "default" stands for all targets that are not named."""
        sources: dict[str, str] = self._methods[model]["trained_on"]
        return sources

    def note(self, model: str) -> str:
        """Say where a model's figures are from."""
        entry = self._methods[model]
        return f"Paper: {entry['source']}." + f" {UNVERIFIED} unverified." * entry["unverified"]

    @property
    def legend(self) -> str:
        """Where all figures are from."""
        sources = "; ".join(f"{model}: {entry['source']}" for model, entry in self._methods.items())
        return f"{sources}. {UNVERIFIED} unverified."


def load_reported() -> Reported:
    """Read the figures that come with the package."""
    return Reported(json.loads((files(__package__) / "reported.json").read_text()))
