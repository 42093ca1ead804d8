"""Cells of a benchmark: one trained model tested on one target; what decides on the figures is its fingerprint."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

BETWEEN_SOURCES = " + "


@dataclass(frozen=True)
class DataSettings:
    """How data are read, the same for all methods.

    Attributes:
        images_per_category: At most so many test images, half of them normal where there are enough, evenly spread
            over the sorted names; all when not given.
        synthetic_samples: Pictures per category of the synthetic world.
        synthetic_size: Their side in pixels.
        synthetic_level: How much their defects stand out.
        train_batch_size: Images per training step.
        eval_batch_size: Images per step of a test; scores do not depend on it.
        num_workers: Processes that read images, at most one per processor; scores do not depend on it.
        val_fraction: Share of the source held out for thresholds.
        device: Lightning's accelerator, such as ``auto``, ``cpu`` or ``gpu``.
    """

    images_per_category: int | None = None
    synthetic_samples: int = 100
    synthetic_size: int = 128
    synthetic_level: str = "mixed"
    train_batch_size: int = 8
    eval_batch_size: int = 8
    num_workers: int = 4
    val_fraction: float = 0.1
    device: str = "auto"

    @property
    def fixed(self) -> dict[str, Any]:
        """Those that decide what a training learns."""
        free = ("images_per_category", "eval_batch_size", "num_workers", "device")
        return {name: value for name, value in asdict(self).items() if name not in free}


@dataclass(frozen=True)
class Training:
    """One model trained on one source, of one data set or several, with one seed.

    Attributes:
        model: Name or path of its class.
        options: Arguments of its constructor.
        backbone: What its ranking is called.
        source: Names or folders of the auxiliary sets.
        source_id: What identifies them, wherever the root is.
        source_categories: Those trained on; all if empty.
        seed: Of weights, order and the synthetic world.
        data: How data are read.
        spared: Categories of the synthetic world that are tested, and so not trained on.
        resolved: What the options come to, with defaults and presets, encoder and version; see ``resolved.py``. Empty
            before that is found out.
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

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All that decides what is learned, as plain data."""
        return {
            "model": self.model,
            "options": self.options,
            "source": self.source_id,
            "source_categories": list(self.source_categories),
            "seed": self.seed,
            "data": self.data.fixed,
            **({"spared": list(self.spared)} if self.spared else {}),
            **({"resolved": self.resolved} if self.resolved else {}),
        }

    @cached_property
    def fingerprint(self) -> str:
        """Another one for other settings, whether they were given or are defaults."""
        return _digest({name: value for name, value in self.settings.items() if name != "options" or not self.resolved})

    @property
    def is_ready(self) -> bool:
        """Whether weights were given, so that nothing is trained."""
        return "weights" in self.resolved

    @property
    def source_name(self) -> str:
        """What tables call the source."""
        return " + ".join(last_name(each) for each in self.source_id.split(BETWEEN_SOURCES))


@dataclass(frozen=True)
class Cell:
    """One training tested on all categories of one target: one result file.

    Attributes:
        training: What is tested.
        method: Name of the row.
        role: Method, baseline or ablation.
        target: Name or folder of what it is tested on.
        target_id: The same, wherever the root is.
        target_categories: Those tested; all if empty.
        test_options: Arguments of the constructor for the test alone.
        images_per_category: Cap on test images.
    """

    training: Training
    method: str
    role: str
    target: str
    target_id: str
    target_categories: tuple[str, ...] = ()
    test_options: dict[str, Any] = field(default_factory=dict)
    images_per_category: int | None = None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All that decides what comes out, as plain data."""
        return {
            "training": self.training.settings,
            "method": self.method,
            "target": self.target_id,
            "target_categories": list(self.target_categories),
            "test_options": self.test_options,
            "images_per_category": self.images_per_category,
        }

    @cached_property
    def fingerprint(self) -> str:
        """Another one for other settings."""
        return _digest({**self.settings, "training": self.training.fingerprint})

    @property
    def target_name(self) -> str:
        """What tables call the target."""
        return last_name(self.target_id)

    @property
    def title(self) -> str:
        """For people."""
        training = self.training
        return f"{self.method} ({training.backbone}), {training.source_name} → {self.target_name}, seed {training.seed}"

    @property
    def path(self) -> str:
        """Where its result lies in the folder of results."""
        training = self.training
        name = f"{slug(training.source_name)}--{slug(self.target_name)}--seed{training.seed}--{self.fingerprint}.json"
        return f"cells/{slug(self.method)}/{slug(training.backbone)}/{name}"


def last_name(identity: str) -> str:
    """The last part of a path."""
    return identity.rstrip("/").rsplit("/", 1)[-1]


def slug(name: str) -> str:
    """A name as part of a path."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "x"


def _digest(settings: dict[str, Any]) -> str:
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
