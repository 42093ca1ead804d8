"""Settings of how images are read, the same for all methods of a matrix."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class DataSettings:
    """How images are drawn, limited and read.

    Attributes:
        images_per_category: Largest number of test images per category, half of them normal where there are enough,
            evenly spread over the sorted names; all images if None.
        synthetic_samples: Images per category of the synthetic set.
        synthetic_size: Side of a synthetic image in pixels.
        synthetic_level: How much synthetic defects stand out.
        synthetic_world: What synthetic defects are, ``damage`` or ``looks``.
        train_batch_size: Images per training step.
        eval_batch_size: Images per test step; scores do not depend on it.
        num_workers: Processes that read images, at most one per processor; scores do not depend on it.
        val_fraction: Share of the source, in [0, 1), that is held out for thresholds.
        device: Lightning's accelerator, such as ``auto``, ``cpu`` or ``gpu``.
    """

    images_per_category: int | None = None
    synthetic_samples: int = 100
    synthetic_size: int = 128
    synthetic_level: str = "mixed"
    synthetic_world: str = "damage"
    train_batch_size: int = 8
    eval_batch_size: int = 8
    num_workers: int = 4
    val_fraction: float = 0.1
    device: str = "auto"

    @property
    def for_fingerprint(self) -> dict[str, Any]:
        """The settings that decide what a training learns; results of earlier versions know one world only."""
        without_effect = ["images_per_category", "eval_batch_size", "num_workers", "device"]
        without_effect += ["synthetic_world"] if self.synthetic_world == "damage" else []
        return {name: value for name, value in asdict(self).items() if name not in without_effect}
