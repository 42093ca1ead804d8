"""Result files: what one cell gave, as one small JSON that says where it comes from."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from anomalib_cops.errors import InputError

from ..plan.cells import Cell

METRICS = ("I-AUROC", "I-AP", "I-F1max", "P-AUROC", "P-AP", "P-F1max", "AUPRO")
"""I of images, P of pixels; in the order of tables."""
FORMAT = 1
"""Counted up when a file can no longer be read by older code, or older files by this."""


class DamagedError(InputError):
    """A result file that is no result."""


@dataclass
class Scores:
    """What one category gave.

    Attributes:
        scores: In [0, 1], by the name of the metric; what the labels do not allow is not there.
        normal: Test images without defect.
        anomalous: Test images with one.
        images: Digest of names, labels and sizes of the test images: equal where two rows saw the same.
        seconds: In the model, for all images.
        total_seconds: With reading, metrics and writing.
        peak_memory: Bytes, on the accelerator if there is one, else of the process until then.
        made_by: Which of the result's runs.
    """

    scores: dict[str, float]
    normal: int
    anomalous: int
    images: str
    seconds: float
    total_seconds: float
    peak_memory: int
    made_by: int = 0

    @property
    def count(self) -> int:
        """Test images."""
        return self.normal + self.anomalous


@dataclass
class TrainingRecord:
    """How a training went.

    Attributes:
        seconds: All of it.
        images: How many it was trained on; 0 for models that need no training.
        categories: Trained on.
        peak_memory: Bytes, as in ``Scores``.
        weights: Name of the file that holds what was trained; empty where nothing is.
        digest: SHA-256 of that file.
        run: Where it was made, as in ``provenance``.
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
    """One cell.

    Attributes:
        method: Name of the row.
        role: Method, baseline or ablation.
        model: Name or path of its class.
        backbone: What its ranking is called.
        source: Trained on.
        target: Tested on.
        seed: Of weights, order and the synthetic world.
        settings: All that decided what came out.
        fingerprint: Of the settings.
        expected: Categories that the target has.
        source_categories: Those trained on; all if empty.
        categories: What was tested.
        failures: What went wrong, by category; under the empty name what kept the whole cell from running.
        training: How the training went.
        runs: Versions, commit and machine of every run that had a part in it.
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
    def of(cls, cell: Cell) -> "Result":
        """The empty result of a cell."""
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
    def missing(self) -> list[str]:
        """Categories without figures."""
        return [name for name in self.expected if name not in self.categories]

    def to_json(self) -> str:
        """The file's content; categories by name, so that it does not depend on who was ready first."""
        content = {"format": FORMAT, "kind": "accuracy", **asdict(self)}
        content["categories"] = dict(sorted(content["categories"].items()))
        content["failures"] = dict(sorted(content["failures"].items()))
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def read_result(path: Path) -> Result:
    """Read a result file.

    Raises:
        DamagedError: It is no complete result.
        InputError: It cannot be read, or is of another version of the format.
    """
    try:
        content = json.loads(path.read_bytes())
        version = content.pop("format")
        kind = content.pop("kind")
    except OSError as error:
        raise InputError(f"the result {path} cannot be read ({error.strerror}).") from None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise DamagedError(f"{path} is damaged: it is no result file.") from None
    if version != FORMAT:
        age = "an older" if isinstance(version, int) and version < FORMAT else "another"
        raise InputError(
            f"{path} was written by {age} version (format {version}, this one reads {FORMAT}); move it away and run "
            "its benchmark again, or read it with the version that wrote it."
        )
    try:
        if kind != "accuracy":
            raise ValueError(kind)
        training = content.pop("training")
        categories = {name: Scores(**each) for name, each in content.pop("categories").items()}
        result = Result(**content, categories=categories, training=TrainingRecord(**training) if training else None)
        _check(result)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"{path} is damaged: {error!r} where a result was expected.") from None
    return result


def _check(result: Result) -> None:
    """Raises ValueError where figures are none."""
    for name, each in result.categories.items():
        for metric, value in each.scores.items():
            if not isinstance(value, float | int) or not 0 <= value <= 1:
                raise ValueError(f"{metric} of {name} is {value}")
        if each.made_by >= max(1, len(result.runs)):
            raise ValueError(f"{name} was made by run {each.made_by} of {len(result.runs)}")
