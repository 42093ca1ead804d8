"""The decision about one picture: score, label, map, regions, and a picture of them."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from anomalib_cops.errors import InputError
from anomalib_cops.files import replacing
from anomalib_cops.images.drawing import add_heading, fit
from anomalib_cops.inference.pictures import Picture
from anomalib_cops.inference.regions import Region, find_regions
from anomalib_cops.thresholds import Thresholds, decision
from anomalib_cops.tiles import resize_map

SIDE = 512
"""Longer side of the parts of a saved picture, in pixels."""
_HEADING, _OUTLINE = 20, (255, 255, 255)


@dataclass(frozen=True, eq=False)
class Result:
    """What a model says about one picture.

    Attributes:
        picture: the picture.
        score: in [0, 1], higher is more anomalous.
        map: anomaly map in [0, 1], shape (height, width): at the size of the model's input, as ``anomalib predict``
            returns it; at the size of the picture if that was cut into tiles.
        thresholds: what score and map are compared with.
    """

    picture: Picture = field(repr=False)
    score: float
    map: npt.NDArray[np.float32] = field(repr=False)
    thresholds: Thresholds = field(default_factory=Thresholds)

    @property
    def path(self) -> str:
        """File of the picture; empty for a picture in memory."""
        return self.picture.name

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        return self.picture.size

    @property
    def threshold(self) -> float | None:
        """Threshold of the label, on the scale of the score; None if the model gives no labels."""
        return self.thresholds.image

    @property
    def label(self) -> bool | None:
        """Whether the picture is anomalous: its score is above the threshold; None if the model gives no labels."""
        return None if self.threshold is None else self.score > self.threshold

    @cached_property
    def full_map(self) -> npt.NDArray[np.float32]:
        """Anomaly map at the size of the picture, shape (height, width)."""
        width, height = self.size
        return resize_map(self.map, height, width)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Pixels of the picture that are above the threshold of pixels, shape (height, width)."""
        return self.full_map > self.thresholds.pixel

    @cached_property
    def regions(self) -> list[Region]:
        """Connected regions of the mask, in pixels of the picture, the highest peak first."""
        return find_regions(self.full_map, self.thresholds.pixel)

    def __str__(self) -> str:
        """Return score, threshold and label in words."""
        return decision(self.score, self.label, self.thresholds.label)

    def draw(self) -> Image.Image:
        """Draw the picture beside itself with the map on it and the outlines of the regions, below a line of text."""
        width, height = self.size
        size = fit(self.size, (SIDE, SIDE))
        levels = self.picture.levels
        stored = levels if levels.dtype == np.uint8 else (levels.clip(0, 1) * 255).round().astype(np.uint8)
        plain = Image.fromarray(stored).resize(size, Image.Resampling.BICUBIC, reducing_gap=3)
        heat = Image.fromarray(colours(resize_map(self.map, size[1], size[0])))
        marked = Image.blend(plain, heat, 0.5)
        pen = ImageDraw.Draw(marked)
        for region in self.regions:
            corners = [(x * size[0] / width, y * size[1] / height) for x, y in region.contour]
            pen.polygon(corners, outline=_OUTLINE)
        both = Image.new("RGB", (2 * size[0], size[1]))
        both.paste(plain, (0, 0))
        both.paste(marked, (size[0], 0))
        return add_heading(both, str(self), ImageFont.load_default(size=_HEADING))

    def save(self, path: str | Path) -> Path:
        """Write what :meth:`draw` draws.

        Args:
            path: the file; its suffix says the format.

        Raises:
            InputError: the suffix is unknown, or the place cannot be written to.
        """
        path = Path(path).expanduser()
        try:
            with replacing(path) as unfinished:
                self.draw().save(unfinished)
        except (ValueError, KeyError):  # KeyError: Pillow reads the format, but does not write it
            raise InputError(f"{path} has no suffix of an image format; give one such as {path.stem}.png.") from None
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror or error}); choose another place.") from None
        return path


def colours(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return a map in [0, 1] as RGB levels: blue at 0, by green to red at 1."""
    centres = np.array([0.75, 0.5, 0.25], np.float32)
    levels = (1.5 - np.abs(values[..., None].clip(0, 1) - centres) * 4).clip(0, 1)
    return (levels * 255).round().astype(np.uint8)
