"""Procedural pictures of industrial surfaces and objects with masked defects: labelled data without a download."""

from anomalib_cops.data.synthetic.drawing import CATEGORIES, DEFECTS, Sample, defects_of, draw
from anomalib_cops.data.synthetic.levels import LEVELS, Level, prominence

__all__ = ["CATEGORIES", "DEFECTS", "LEVELS", "Level", "Sample", "defects_of", "draw", "prominence"]
