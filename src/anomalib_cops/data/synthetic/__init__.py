"""A procedural world of industrial surfaces and objects with masked defects: labelled data that needs no download."""

from anomalib_cops.data.synthetic.drawing import (
    CATEGORIES,
    DEFECTS,
    LEVELS,
    Level,
    Sample,
    defects_of,
    draw,
    prominence,
)

__all__ = ["CATEGORIES", "DEFECTS", "LEVELS", "Level", "Sample", "defects_of", "draw", "prominence"]
