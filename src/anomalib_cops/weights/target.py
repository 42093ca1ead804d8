"""What a model knows of its target, besides trained prompts: reference images and calibrated thresholds."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class References:
    """The reference images whose patches are in a model's memory.

    Attributes:
        files: their paths when they were read.
        digests: SHA-256 of the content of each file.
        sizes: size of each file in bytes.
        scores: image score of each, compared with the other references only.
        peaks: largest value of the anomaly map of each, likewise.
        tiles: how they were cut into tiles; empty if only whole images are in the memory.
    """

    files: list[str]
    digests: list[str]
    sizes: list[int]
    scores: list[float]
    peaks: list[float]
    tiles: str = ""

    @property
    def contents(self) -> dict[str, int]:
        """Size by digest."""
        return dict(zip(self.digests, self.sizes, strict=True))

    def __str__(self) -> str:
        """Name them as messages do."""
        return f"{len(self.files)} reference image{'s' * (len(self.files) != 1)}"


@dataclass(frozen=True)
class Calibration:
    """Where calibrated thresholds come from.

    Attributes:
        false_alarm_rate: share of good images that may be labelled anomalous.
        images: number of images whose scores they were computed from.
        source: those images in words.
        is_promised: whether that many images suffice to promise the rate.
        tiles: how these images were cut into tiles; empty if they were scored as a whole.
    """

    false_alarm_rate: float
    images: int
    source: str
    is_promised: bool
    tiles: str = ""

    def __str__(self) -> str:
        """Say what the threshold means."""
        rate = f"a false-alarm rate of {100 * self.false_alarm_rate:g} %, calibrated on {self.source}"
        if self.is_promised:
            return rate
        best = 100 / (self.images + 1)
        return f"{rate}, which {'is' if self.images == 1 else 'are'} too few to promise less than {best:.2g} %"


def plain_or_none(record: References | Calibration | None) -> dict[str, Any] | None:
    """Return a record as plain data, for headers of weight files; ``tiles`` only if there are any."""
    plain = {} if record is None else asdict(record)
    return {name: value for name, value in plain.items() if name != "tiles" or value} or None
