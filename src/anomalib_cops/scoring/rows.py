"""Rows of the table of scores."""

import json
import math
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Row:
    """What the table says of one image; None stands for an empty cell.

    Attributes:
        path: file or address of the image.
        width: of the image in pixels.
        height: of the image in pixels.
        score: in [0, 1], rounded to nine digits, which tell any two float32 scores apart.
        label: 1 for anomalous, 0 for normal; None if the model gives no labels.
        threshold: of the label.
        regions: number of regions above the threshold; None if the model has no threshold for them.
        region_list: JSON list of these regions with ``box``, ``area``, ``peak`` and ``contour``.
        seconds: that the model took; for images scored together, an equal share of their time.
        error: why there is no score or no picture.
    """

    path: str
    width: int | None = None
    height: int | None = None
    score: float | None = None
    label: int | None = None
    threshold: float | None = None
    regions: int | None = None
    region_list: str | None = None
    seconds: float | None = None
    error: str | None = None


COLUMNS = tuple(field.name for field in fields(Row))
INTEGERS = ("width", "height", "label", "regions")
NUMBERS = ("score", "threshold", "seconds")


def row_of(path: str, result: Any, seconds: float) -> Row:
    """Make the row of a result.

    Args:
        path: what the table calls the image.
        result: a :class:`~anomalib_cops.inference.result.Result`.
        seconds: that the model took.
    """
    width, height = result.size
    score = float(result.score)
    if not math.isfinite(score):
        return Row(path, int(width), int(height), error=f"the model gives {score} as its score")
    return Row(
        path,
        int(width),
        int(height),
        nine_digits(score),
        None if result.label is None else int(result.label),
        None if result.threshold is None else nine_digits(float(result.threshold)),
        len(result.regions),
        json.dumps([_plain(region) for region in result.regions], separators=(",", ":")),
        round(seconds, 6),
    )


def error_row(path: str, error: str) -> Row:
    """Make the row of an image without a score; the error becomes one line that UTF-8 can write."""
    return Row(path, error=" ".join(error.encode("utf-8", "backslashreplace").decode().split()))


def nine_digits(value: float) -> float:
    """Round a number to nine significant digits."""
    return float(f"{value:.9g}")


def _plain(region: Any) -> dict[str, Any]:
    return {
        "box": [int(edge) for edge in region.box],
        "area": int(region.area),
        "peak": nine_digits(float(region.peak)),
        "contour": region.contour,  # thousands of corners, which JSON writes as lists
    }
