"""Procedural pictures of industrial surfaces and objects with masked defects: labelled data without a download."""

from anomalib_cops.data.synthetic.drawing import (
    CATEGORIES,
    DEFECTS,
    LOOK_CATEGORIES,
    WORLDS,
    Sample,
    defects_of,
    draw,
)
from anomalib_cops.data.synthetic.levels import LEVELS, Level, prominence

__all__ = [
    "CATEGORIES",
    "DEFECTS",
    "LEVELS",
    "LOOK_CATEGORIES",
    "WORLDS",
    "Level",
    "Sample",
    "defects_of",
    "draw",
    "prominence",
]
