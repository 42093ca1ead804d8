"""Cut large images into overlapping tiles, score every tile and the whole, and blend their maps.

anomalib's own ``Tiler`` joins overlapping tiles by a plain mean, which leaves seams, and holds all tiles at once; so it
does not serve here. This module needs NumPy and Pillow alone.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalib_cops.errors import InputError

Map = npt.NDArray[np.float32]
Run = Callable[[list[Any]], tuple[Sequence[float], Sequence[Map]]]
"""Score crops, each an array or tensor (3, height, width) in [0, 1]: their scores and maps, of any size."""

AUTO, WHOLE = "auto", "none"
OVERLAP = 0.25
"""Share of a tile that it shares with the next one, where no overlap is given."""
LARGE = 1.5
"""With "auto", images whose longer side has more than this many times the model's side are cut into tiles."""
MOST_TILES = 20_000
_LEAST_WEIGHT = 1e-3


class Box(NamedTuple):
    """A tile: its first row and column, and its size in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, image: Any) -> Any:
        """Return this part of an image whose last two axes are height and width."""
        return image[..., self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True)
class Tiling:
    """How to cut images into tiles, as users write it.

    Attributes:
        text: "auto" for tiles at full resolution wherever an image is larger than the model's input; a grid of rows and
            columns, such as "3x4"; a size in pixels, such as "512"; or a size and an overlap, such as "512/128".

    Raises:
        InputError: the text is none of these.
    """

    text: str

    def __post_init__(self) -> None:
        """Check the text."""
        if self.text == AUTO:
            return
        numbers = [int(number) for number in re.findall(r"\d+", self.text)]
        if not re.fullmatch(r"\d+(x\d+|/\d+)?", self.text) or not numbers[0] or numbers[-1] < 1 - ("/" in self.text):
            raise InputError(
                f"tiles='{self.text}' is not known; give auto, a grid such as 3x4 (rows, columns), a size in pixels "
                "such as 512, or a size and an overlap such as 512/128."
            )
        if "/" in self.text and numbers[1] > numbers[0] // 2:
            raise InputError(
                f"tiles='{self.text}' overlap by more than half; give {numbers[0]}/{numbers[0] // 2} or less."
            )

    def boxes(self, height: int, width: int, side: int) -> list[Box]:
        """Return the tiles of an image, all of one size; none if the whole image is enough.

        Args:
            height: of the image in pixels.
            width: of the image in pixels.
            side: of the model's input in pixels, which "auto" makes its tiles of.

        Raises:
            InputError: there would be more than ``MOST_TILES``.
        """
        if self.text == AUTO and max(height, width) <= LARGE * side:
            return []
        rows, columns = self._axis(height, side, 0), self._axis(width, side, 1)
        if len(rows[0]) == len(columns[0]) == 1:
            return []
        if (count := len(rows[0]) * len(columns[0])) > MOST_TILES:
            raise InputError(
                f"tiles='{self.text}' cuts an image of {width} x {height} pixels into {count:,} tiles, more than "
                f"{MOST_TILES:,}; give larger or fewer tiles."
            )
        return [Box(top, left, rows[1], columns[1]) for top in rows[0] for left in columns[0]]

    def _axis(self, length: int, side: int, axis: int) -> tuple[list[int], int]:
        """Return where the tiles of an axis begin, evenly spaced, and how long they are."""
        if "x" in self.text:
            count = min(int(self.text.split("x")[axis]), length)
            size = math.ceil(length / (count - (count - 1) * OVERLAP))
        else:
            given, _, overlap = (str(side) if self.text == AUTO else self.text).partition("/")
            size = min(int(given), length)
            shared = int(overlap) if overlap else round(OVERLAP * size)
            count = math.ceil((length - shared) / max(1, size - shared)) if length > size else 1
        return np.linspace(0, length - size, count).round().astype(int).tolist(), size


def parse_tiles(given: str | int | None) -> Tiling | None:
    """Return the tiling that a user gave; None for whole images.

    Raises:
        InputError: it is not known.
    """
    text = "" if given is None else str(given).strip().lower().replace(" ", "")
    return Tiling(text) if text not in ("", WHOLE) else None


def score_in_tiles(
    image: Any, boxes: Sequence[Box], run_whole: Run, run_tiles: Run, batch_size: int
) -> tuple[float, Map]:
    """Score an image as a whole and in tiles.

    Memory does not grow with the number of tiles: ``batch_size`` of them are in use at a time.

    Args:
        image: array or tensor (3, height, width) in [0, 1].
        boxes: its tiles; none for the whole image alone.
        run_whole: scores a list of one image, the whole.
        run_tiles: scores a list of tiles.
        batch_size: number of tiles to score at a time.

    Returns:
        The largest score of the whole and its tiles; and at every pixel the larger value of the whole image's map and
        of the blended maps of the tiles. Their mean would hide small defects in the uncertainty of the whole.
    """
    height, width = image.shape[-2:]
    (score,), (whole,) = run_whole([image])
    whole_map = resize_map(whole, height, width)
    if not boxes:
        return float(score), whole_map
    canvas = Canvas(height, width)
    for first in range(0, len(boxes), batch_size):
        some = boxes[first : first + batch_size]
        scores, maps = run_tiles([box.of(image) for box in some])
        score = max(float(score), *map(float, scores))
        for box, each in zip(some, maps, strict=True):
            canvas.add(box, each)
    return float(score), np.maximum(whole_map, canvas.blended())


class Canvas:
    """Weighted mean of overlapping tiles. A tile's weight falls smoothly to its edges, so that no seam shows.

    Args:
        height: of the image in pixels.
        width: of the image in pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        self._sum = np.zeros((height, width), np.float32)
        self._weights = np.zeros((height, width), np.float32)

    def add(self, box: Box, tile: Map) -> None:
        """Add the map of a tile, of any size."""
        weight = np.outer(_window(box.height), _window(box.width)).astype(np.float32)
        box.of(self._sum)[...] += weight * resize_map(tile, box.height, box.width)
        box.of(self._weights)[...] += weight

    def blended(self) -> Map:
        """Return the mean of the tiles, which have to cover the image."""
        return self._sum / self._weights


def resize_map(values: Map, height: int, width: int) -> Map:
    """Resize a map bilinearly."""
    if values.shape == (height, width):
        return values
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def _window(length: int) -> npt.NDArray[np.float64]:
    """Return weights along an axis: the square of a sine, and a little more, so that borders of images count."""
    return np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2 + _LEAST_WEIGHT
