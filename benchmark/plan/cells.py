"""Define trainings and cells, and the fingerprints that tell them apart."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .data_settings import DataSettings
from .entries import FITTED_ON_REFERENCES
from .names import BETWEEN_SOURCES, last_name, slug
from .reference_draw import ReferenceDraw


@dataclass(frozen=True)
class Training:
    """One model trained on one source with one seed.

    Attributes:
        model: Name of one of this package's models, or path of a class.
        options: Arguments of the model's constructor.
        backbone: Name of the board that the training belongs to.
        source: Names or folders of the auxiliary sets; several are trained on together.
        source_id: The same joined by `` + ``, independent of where the root folder is.
        source_categories: Categories to train on; all if empty.
        seed: Of weights, order of images and the synthetic set.
        data: How images are read.
        spared: Synthetic categories that the test names and that are therefore not trained on.
        resolved: What the options amount to, with defaults, presets, encoder and versions; see ``resolved.py``. Empty
            until it has been determined.
        is_fitted_on_references: Whether the model learns from the references of each category, and nothing from the
            source.
    """

    model: str
    options: dict[str, Any]
    backbone: str
    source: tuple[str, ...]
    source_id: str
    source_categories: tuple[str, ...]
    seed: int
    data: DataSettings
    spared: tuple[str, ...] = ()
    resolved: dict[str, Any] = field(default_factory=dict)
    is_fitted_on_references: bool = False

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All that decides what is learned, as plain data."""
        return {
            "model": self.model,
            "options": self.options,
            "source": self.source_id,
            "source_categories": list(self.source_categories),
            "seed": self.seed,
            "data": self.data.for_fingerprint,
            **({"spared": list(self.spared)} if self.spared else {}),
            **({"fitted_on": FITTED_ON_REFERENCES} if self.is_fitted_on_references else {}),
            **({"resolved": self.resolved} if self.resolved else {}),
        }

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the settings; the same whether a value was given or is the default."""
        return _digest({name: value for name, value in self.settings.items() if name != "options" or not self.resolved})

    @property
    def is_ready(self) -> bool:
        """Whether the options name weights, so that nothing is trained."""
        return "weights" in self.resolved

    @property
    def learns_from_source(self) -> bool:
        """Whether there may be something to train on the source."""
        return not self.is_ready and not self.is_fitted_on_references

    @property
    def source_name(self) -> str:
        """Name of the source in tables."""
        return BETWEEN_SOURCES.join(last_name(each) for each in self.source_id.split(BETWEEN_SOURCES))


@dataclass(frozen=True)
class Cell:
    """One training tested on all categories of one target; it has one result file.

    Attributes:
        training: The training whose model is tested.
        method: Name of the method.
        role: Method, baseline or ablation.
        target: Name or folder of the data set that is tested.
        target_id: The same, independent of where the root folder is.
        target_categories: Categories to test; all if empty.
        test_options: Arguments of the model's constructor that apply to the test alone.
        images_per_category: Largest number of test images per category; all if None.
        references: Good images of each category that the model is given; None for a matrix without references.
    """

    training: Training
    method: str
    role: str
    target: str
    target_id: str
    target_categories: tuple[str, ...] = ()
    test_options: dict[str, Any] = field(default_factory=dict)
    images_per_category: int | None = None
    references: ReferenceDraw | None = None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All that decides on the figures, as plain data."""
        return {
            "training": self.training.settings,
            "method": self.method,
            "target": self.target_id,
            "target_categories": list(self.target_categories),
            "test_options": self.test_options,
            "images_per_category": self.images_per_category,
            **({"references": self.references.settings} if self.references else {}),
        }

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the settings."""
        return _digest({**self.settings, "training": self.training.fingerprint})

    @property
    def target_name(self) -> str:
        """Name of the target in tables."""
        return last_name(self.target_id)

    @property
    def repetition(self) -> str:
        """The seed, with number and draw of the references if there are any, as messages name them."""
        return f"{self.training.seed}" + (f", {self.references}" if self.references else "")

    @property
    def title(self) -> str:
        """The cell in words, for messages."""
        training = self.training
        return (
            f"{self.method} ({training.backbone}), {training.source_name} → {self.target_name}, seed {self.repetition}"
        )

    @property
    def path(self) -> str:
        """Path of the result file in the folder of results."""
        training = self.training
        draw = f"-shots{self.references.shots}-draw{self.references.draw}" if self.references else ""
        place = f"{slug(training.source_name)}--{slug(self.target_name)}--seed{training.seed}{draw}"
        name = f"{place}--{self.fingerprint}.json"
        return f"cells/{slug(self.method)}/{slug(training.backbone)}/{name}"


def _digest(settings: dict[str, Any]) -> str:
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
