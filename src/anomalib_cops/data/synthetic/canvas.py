"""Drawing primitives in picture coordinates: every picture spans [0, 1] x [0, 1], whatever its size in pixels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
Rng = np.random.Generator
Points = npt.NDArray[np.float64]
Real = float | int
Fault = Callable[[Rng], Array]

_SUBPIXEL_BITS = 8


@dataclass
class Scene:
    """A flawless product before the camera takes it, and what is needed to damage it.

    Attributes:
        image: Colours in [0, 1], shape (size, size, 3).
        region: Coverage of the product, in [0, 1], shape (size, size).
        backdrop: Colours that show through a hole or a broken edge, shape (3,) or (size, size, 3).
        faults: Structural defects that only this product can have; each function paints the scene again with the
            fault and returns its image.
    """

    image: Array
    region: Array
    backdrop: Array
    faults: Mapping[str, Fault] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Side of the picture in pixels."""
        return self.image.shape[0]


@dataclass(frozen=True)
class Pose:
    """Pose of an object: its own coordinates (about -1 to 1) are scaled, turned and moved into the picture."""

    x: float
    y: float
    scale: float
    angle: float

    @classmethod
    def random(cls, rng: Rng, scale: tuple[float, float], turn: float = np.pi) -> "Pose":
        """Draw a pose near the centre of the picture, turned by at most ``turn`` radians either way."""
        x, y = rng.uniform(0.44, 0.56, 2)
        return cls(float(x), float(y), float(rng.uniform(*scale)), float(rng.uniform(-turn, turn)))

    def place(self, points: npt.ArrayLike) -> Points:
        """Map object coordinates (n, 2) to picture coordinates (n, 2)."""
        p = np.asarray(points, dtype=np.float64)
        c, s = np.cos(self.angle), np.sin(self.angle)
        return p @ np.array([[c, s], [-s, c]]) * self.scale + (self.x, self.y)

    def local(self, size: int) -> tuple[Array, Array]:
        """Return the object coordinates x and y of every pixel, each of shape (size, size)."""
        x, y = grid(size)
        c, s = np.float32(np.cos(self.angle) / self.scale), np.float32(np.sin(self.angle) / self.scale)
        dx, dy = x - np.float32(self.x), y - np.float32(self.y)
        return dx * c + dy * s, dy * c - dx * s


@lru_cache(maxsize=8)
def grid(size: int) -> tuple[Array, Array]:
    """Return the picture coordinates x and y of the pixel centres, each of shape (size, size) and read-only."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = np.meshgrid(axis, axis)
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


def turned(size: int, angle: float, scale: float = 1.0) -> tuple[Array, Array]:
    """Return coordinates along and across a direction, multiplied by ``scale``; each has the shape (size, size)."""
    return Pose(0.5, 0.5, 1.0 / scale, angle).local(size)


def noise(rng: Rng, size: int, cells: int | tuple[int, int], octaves: int = 1) -> Array:
    """Draw smooth noise of about unit variance, shape (size, size).

    The random numbers depend on ``cells`` only, so a larger picture shows the same noise in more detail.
    """
    across, down = (cells, cells) if isinstance(cells, int) else cells
    total = np.zeros((size, size), np.float32)
    power = 0.0
    for octave in range(octaves):
        shape = (down << octave, across << octave)
        coarse = rng.standard_normal(shape, dtype=np.float32)
        method = cv2.INTER_CUBIC if max(shape) <= size else cv2.INTER_AREA
        gain = 0.5**octave
        total += gain * cv2.resize(coarse, (size, size), interpolation=method)
        power += gain * gain
    return np.asarray(total / np.sqrt(power), np.float32)


def profile(rng: Rng, coordinate: Array, cells: int) -> Array:
    """Look up one-dimensional noise along a coordinate, for streaks and fibres; the shape is that of ``coordinate``."""
    table = rng.standard_normal(cells + 1, dtype=np.float32)
    position = np.mod(coordinate, 1.0) * cells
    low = position.astype(np.int32)
    part = position - low
    return np.asarray(table[low] * (1 - part) + table[np.minimum(low + 1, cells)] * part, np.float32)


def fill(size: int, polygons: Sequence[Points]) -> Array:
    """Return the anti-aliased coverage of closed polygons in picture coordinates, in [0, 1], shape (size, size)."""
    canvas = np.zeros((size, size), np.uint8)
    for polygon in polygons:
        fixed = np.round((polygon * size - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(canvas, [fixed], 255, lineType=cv2.LINE_AA, shift=_SUBPIXEL_BITS)
    return canvas.astype(np.float32) * np.float32(1 / 255)


def stroke(size: int, path: Points, widths: float | Array) -> Array:
    """Return the coverage of a line along ``path`` (n, 2), in [0, 1], shape (size, size).

    Widths are in picture units: one number, or one for each point, shape (n,).
    """
    fine = 4 if size <= 160 else 2
    canvas = np.zeros((size * fine, size * fine), np.uint8)
    points = np.round((path * size - 0.5) * fine * (1 << _SUBPIXEL_BITS)).astype(int)
    thickness = np.broadcast_to(np.maximum(1, np.round(np.asarray(widths) * size * fine)).astype(int), len(path))
    for start, end, width in zip(points[:-1], points[1:], thickness[:-1], strict=True):
        cv2.line(canvas, start.tolist(), end.tolist(), 255, int(width), cv2.LINE_8, _SUBPIXEL_BITS)
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) * np.float32(1 / 255)


def ellipse(x: Real, y: Real, a: Real, b: Real | None = None, corners: int = 40) -> Points:
    """Return the polygon (corners, 2) of an ellipse with half axes ``a`` and ``b``; without ``b`` it is a circle."""
    t = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([x + a * np.cos(t), y + (a if b is None else b) * np.sin(t)], axis=1)


def box(left: Real, top: Real, right: Real, bottom: Real) -> Points:
    """Return the polygon (4, 2) of an upright rectangle."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float64)


def blend(image: Array, colour: Array, alpha: Array) -> Array:
    """Lay a colour, (3,) or (size, size, 3), over an image with coverage ``alpha``, (size, size)."""
    paint = np.asarray(colour, np.float32)
    return np.asarray(image + alpha[..., None] * (paint - image), np.float32)


def blur(image: Array, sigma: float) -> Array:
    """Blur with a Gaussian whose ``sigma`` is a fraction of the side of the picture."""
    pixels = sigma * image.shape[0]
    return image if pixels < 0.2 else np.asarray(cv2.GaussianBlur(image, (0, 0), pixels), np.float32)


def relief(height: Array, light: float) -> Array:
    """Shade a height field (size, size) lit from the angle ``light``: its slope per side of the picture."""
    side = height.shape[0]
    gx = cv2.Scharr(height, cv2.CV_32F, 1, 0, scale=side / 32)
    gy = cv2.Scharr(height, cv2.CV_32F, 0, 1, scale=side / 32)
    return np.asarray(gx * np.float32(np.cos(light)) + gy * np.float32(np.sin(light)), np.float32)


def tint(rng: Rng, value: tuple[float, float], saturation: tuple[float, float] = (0.0, 0.6)) -> Array:
    """Draw a colour (3,) of any hue, with brightness and saturation from the given ranges."""
    hue, s, v = rng.uniform(0, 6), rng.uniform(*saturation), rng.uniform(*value)
    ramp = np.clip(np.abs(np.mod(hue + np.array([0.0, 4.0, 2.0]), 6) - 3) - 1, 0, 1)
    return np.asarray(v * (1 - s + s * ramp), np.float32)


def warm(rng: Rng, value: tuple[float, float]) -> Array:
    """Draw a colour (3,) between brown and cream."""
    v = rng.uniform(*value)
    return np.asarray([v, v * rng.uniform(0.66, 0.85), v * rng.uniform(0.38, 0.68)], np.float32)


def grey(rng: Rng, value: tuple[float, float]) -> Array:
    """Draw an almost neutral colour (3,), as of bare metal."""
    return np.asarray(rng.uniform(*value) * rng.uniform(0.96, 1.04, 3), np.float32)
