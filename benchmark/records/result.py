"""Define results: what is kept of one cell, as one small JSON file that says where its figures come from."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from ..plan.cells import Cell

METRICS = ("I-AUROC", "I-AP", "I-F1max", "P-AUROC", "P-AP", "P-F1max", "AUPRO")
"""All metrics that methods are ranked by, in the order of tables. I is for image, P for pixel."""
AT_THRESHOLD = ("false_alarm_rate", "recall")
"""Shares of the normal and of the anomalous images that the model labels anomalous. They are not ranked by."""
FORMAT = 2
"""Version of the file format: counted up when older code cannot read a new file, or new code an old one.

All versions up to this one are read. Results without references are written as version 1.
"""
KIND = "accuracy"


@dataclass
class Scores:
    """Figures of one category.

    Attributes:
        scores: Values in [0, 1] by metric; metrics that the labels do not allow are absent, as are figures at a
            threshold of a model that has none.
        normal: Number of normal test images.
        anomalous: Number of anomalous test images.
        images: Digest of names, labels and sizes of the test images, and of the images that references are taken from:
            equal where two methods saw the same images.
        seconds: Seconds that the model took for all images.
        total_seconds: The same with reading, metrics and writing.
        peak_memory: Bytes on the accelerator if there is one, else of the process so far.
        made_by: Index in the result's ``runs`` of the run that tested the category.
        references: Number of reference images that the model was given; None for a matrix without references.
    """

    scores: dict[str, float]
    normal: int
    anomalous: int
    images: str
    seconds: float
    total_seconds: float
    peak_memory: int
    made_by: int = 0
    references: int | None = None

    @property
    def count(self) -> int:
        """Number of test images."""
        return self.normal + self.anomalous


@dataclass
class TrainingRecord:
    """How a training went.

    Attributes:
        seconds: Seconds from start to end.
        images: Number of images trained on; 0 for models that need no training.
        categories: Categories trained on.
        peak_memory: Bytes, as in ``Scores``.
        weights: Name of the file with what was trained; empty if there is none.
        digest: SHA-256 of that file.
        run: Provenance of the run that trained: versions, commit and machine.
    """

    seconds: float
    images: int
    peak_memory: int
    categories: list[str] = field(default_factory=list)
    weights: str = ""
    digest: str = ""
    run: dict[str, Any] = field(default_factory=dict)


@dataclass
class Result:
    """What is known of one cell.

    Attributes:
        method: Name of the method.
        role: Method, baseline or ablation.
        model: Name of the model, or path of its class.
        backbone: Name of the board that it belongs to.
        source: Name of what was trained on.
        target: Name of what was tested.
        seed: Of weights, order of images and the synthetic set.
        settings: All that decided on the figures.
        fingerprint: Digest of the settings.
        expected: Categories of the target.
        source_categories: Categories that training was limited to; all if empty.
        categories: Figures by category.
        failures: Messages by category; under the empty name what kept the whole cell from running.
        training: How the training went; None if it failed.
        runs: Provenance of every run that added to the result: date, versions, commit and machine.
    """

    method: str
    role: str
    model: str
    backbone: str
    source: str
    target: str
    seed: int
    settings: dict[str, Any]
    fingerprint: str
    expected: list[str] = field(default_factory=list)
    source_categories: list[str] = field(default_factory=list)
    categories: dict[str, Scores] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    training: TrainingRecord | None = None
    runs: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def empty(cls, cell: Cell) -> "Result":
        """Return the result of a cell of which nothing is known yet."""
        training = cell.training
        return cls(
            method=cell.method,
            role=cell.role,
            model=training.model,
            backbone=training.backbone,
            source=training.source_name,
            target=cell.target_name,
            seed=training.seed,
            settings=cell.settings,
            fingerprint=cell.fingerprint,
            source_categories=list(training.source_categories),
        )

    @property
    def shots(self) -> int | None:
        """Number of references per category that the configuration asks for; None if it has no references."""
        shots: int | None = self.settings.get("references", {}).get("shots")
        return shots

    @property
    def draw(self) -> int:
        """Seed that the references were drawn by; 0 without references."""
        draw: int = self.settings.get("references", {}).get("draw", 0)
        return draw

    @property
    def missing(self) -> list[str]:
        """Categories without figures."""
        return [name for name in self.expected if name not in self.categories]

    def pending(self, digests: dict[str, str]) -> tuple[str, ...]:
        """Return the categories that have no figures, or figures of other images.

        Args:
            digests: Digest of the test images by category, as they are now.
        """
        return tuple(
            name
            for name, digest in digests.items()
            if name not in self.categories or self.categories[name].images != digest
        )

    def run_index(self, provenance: dict[str, Any]) -> int:
        """Return the index of a run in ``runs``, to which it is added if it is new."""
        if provenance not in self.runs:
            self.runs.append(provenance)
        return self.runs.index(provenance)

    def to_json(self) -> str:
        """Return the content of the file; categories are sorted, so that it does not depend on which came first."""
        content = {"format": 1 if self.shots is None else FORMAT, "kind": KIND, **asdict(self)}
        content["categories"] = {
            name: {key: value for key, value in each.items() if value is not None}
            for name, each in sorted(content["categories"].items())
        }
        content["failures"] = dict(sorted(content["failures"].items()))
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
