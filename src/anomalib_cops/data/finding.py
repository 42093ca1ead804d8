"""Findings of a check of a data set: what was counted, what is wrong, and what to do about it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

UNUSABLE = {
    "incomplete": "copy what is missing, or name only categories that are there",
    "unreadable file": "replace or remove it",
    "unclear mask": "say which levels are anomalous with mask_values=, or --mask-values here",
    "mask of another size": "save it in the size of its image",
    "mask of a turned image": "save the image the right way up",
    "anomalous image without a mask": (
        'add the mask, move all masks away to use image labels only, or train with masks="some" or "none"'
    ),
}
"""Problems that keep a data set from being used, each with its remedy."""

DOUBTFUL = {
    "only anomalous images": "only pixels can be measured; add a folder of normal images for the rest",
    "anomalous image with an empty mask": "it stays anomalous for image metrics; draw the mask, or accept it",
    "normal image with a mask that is not empty": "it stays normal; empty the mask, or move the image",
    "mask without an image": "give it the name of its image, or remove it",
    "turned image": "it is stored turned (EXIF orientation) and read the right way up, with its mask; nothing to do",
    "image in two places": "remove one, if it should count once",
}
"""Problems that a data set can be used with, each with its remedy."""


@dataclass
class Finding:
    """Result of the check of one data set.

    Attributes:
        name: Name of the data set.
        folder: Folder of the data set.
        categories: Number of categories.
        normal: Number of normal images.
        anomalous: Number of anomalous images.
        masks: Number of masks of anomalous images.
        expected: Published numbers of normal and anomalous images; None if they are not known.
        problems: Files with a problem, by the kind of problem.
    """

    name: str
    folder: Path
    categories: int = 0
    normal: int = 0
    anomalous: int = 0
    masks: int = 0
    expected: tuple[int, int] | None = None
    problems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def usable(self) -> bool:
        """Whether the data set can be used for training or testing as it is."""
        return not set(self.problems) & set(UNUSABLE)

    @property
    def verdict(self) -> str:
        """Problems and their numbers in a few words, for a table."""
        counted = [f"{len(files)} × {kind}" for kind, files in self.problems.items()]
        if self.expected and (self.normal, self.anomalous) != self.expected:
            counted.append("other counts than published")
        return "; ".join(counted) or "good"


def advice(finding: Finding, at_most: int) -> Iterable[str]:
    """Yield lines that name every problem of a data set, its files, and what to do.

    Args:
        finding: Result of the check.
        at_most: Number of files to name of each kind of problem.
    """
    for kind, files in finding.problems.items():
        yield f"{finding.name}: {kind} ({(UNUSABLE | DOUBTFUL)[kind]})"
        yield from (f"  {file}" for file in files[:at_most])
        if len(files) > at_most:
            yield f"  and {len(files) - at_most} more; --all names them"
