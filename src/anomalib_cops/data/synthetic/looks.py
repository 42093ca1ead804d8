"""Looks of surfaces: marks that are normal on one product and a defect on another, such as round holes or cracks."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from anomalib_cops.data.synthetic.canvas import Array, Points, Rng, blend, blur, box, ellipse, fill, noise, stroke


@dataclass(frozen=True)
class Marks:
    """Marks of one look on one surface.

    Attributes:
        coverage: Of the marks, in [0, 1], shape (size, size).
        paint: Their colours, shape (3,) or (size, size, 3).
    """

    coverage: Array
    paint: Array

    def on(self, image: Array) -> Array:
        """Return an image (size, size, 3) with the marks on it."""
        return blend(image, self.paint, self.coverage)


Look = Callable[[Rng, Array, Array | None], Marks]
"""Draws marks on a surface, given its colours (size, size, 3): everywhere, or where a map (size, size) is above 0.5."""


def _places(rng: Rng, cells: int, jitter: float, where: Array | None, share: float = 1.0) -> Points:
    """Draw places (n, 2), one in each cell of a grid or in a share of the cells; keep those inside of ``where``."""
    y, x = np.divmod(np.arange(cells * cells), cells)
    places = (np.stack([x, y], 1) + 0.5 + jitter * rng.uniform(-0.5, 0.5, (cells * cells, 2))) / cells
    places = places[rng.random(len(places)) < share]
    if where is None:
        return places
    size = len(where)
    pixels = np.clip((places * size).astype(int), 0, size - 1)
    return np.asarray(places[where[pixels[:, 1], pixels[:, 0]] > 0.5])


def _dark(rng: Rng, image: Array, least: float = 0.1, most: float = 0.4) -> Array:
    return np.asarray(image.mean((0, 1)) * rng.uniform(least, most), np.float32)


def holes(rng: Rng, image: Array, where: Array | None) -> Marks:
    """Round holes at regular distances."""
    size, cells = len(image), int(rng.integers(8, 13))
    radius = rng.uniform(0.26, 0.36) / cells
    discs = [ellipse(x, y, radius, corners=24) for x, y in _places(rng, cells, 0.08, where)]
    return Marks(fill(size, discs), _dark(rng, image, 0.05, 0.3))


def specks(rng: Rng, image: Array, where: Array | None) -> Marks:
    """Small dark grains of irregular size and place."""
    size, cells = len(image), int(rng.integers(16, 24))
    grains = []
    for x, y in _places(rng, cells, 1.0, where, 0.7):
        wide, high = rng.uniform(0.15, 0.45, 2) / cells
        grains.append(ellipse(x, y, wide, high, corners=int(rng.integers(4, 8))))
    return Marks(fill(size, grains), _dark(rng, image, 0.1, 0.45))


def scratches(rng: Rng, image: Array, where: Array | None) -> Marks:
    """Thin straight lines in about one direction, dark or bright."""
    size, cells = len(image), int(rng.integers(9, 14))
    turn = rng.uniform(0, np.pi)
    coverage = np.zeros((size, size), np.float32)
    for place in _places(rng, cells, 1.0, where, 0.8):
        angle, half = turn + rng.normal(0, 0.08), rng.uniform(0.5, 1.2) / cells
        way = np.array([np.cos(angle), np.sin(angle)]) * half
        line = stroke(size, np.stack([place - way, place + way]), rng.uniform(0.006, 0.011))
        coverage = np.maximum(coverage, line * np.float32(rng.uniform(0.6, 1.0)))
    bright = rng.random() < 0.5
    paint = np.clip(image.mean((0, 1)) * 1.3 + 0.25, 0, 1) if bright else _dark(rng, image)
    return Marks(coverage, np.asarray(paint, np.float32))


def glints(rng: Rng, image: Array, where: Array | None) -> Marks:
    """Small bright reflections."""
    size, cells = len(image), int(rng.integers(11, 17))
    sparks = []
    for x, y in _places(rng, cells, 0.8, where, 0.75):
        radius, turn = rng.uniform(0.22, 0.42) / cells, rng.uniform(0, np.pi)
        t = np.linspace(0, 2 * np.pi, 8, endpoint=False) + turn
        reach = radius * np.where(np.arange(8) % 2, 0.4, 1.2)
        sparks.append(np.stack([x + reach * np.cos(t), y + reach * np.sin(t)], 1))
    core = fill(size, sparks)
    return Marks(np.clip(core + 0.6 * blur(core, 0.006), 0, 1), np.asarray(rng.uniform(0.92, 1.0, 3), np.float32))


def cracks(rng: Rng, image: Array, where: Array | None) -> Marks:
    """A net of thin dark lines around fields of irregular shape."""
    size, cells = len(image), int(rng.integers(6, 10))
    seeds = _places(rng, cells, 0.95, None)
    py, px = np.mgrid[0:size, 0:size].astype(np.float32) / size
    wave = 0.25 / cells
    px, py = px + wave * noise(rng, size, 10), py + wave * noise(rng, size, 10)
    first = second = np.full((size, size), np.inf, np.float32)
    for x, y in seeds.astype(np.float32):
        distance = np.hypot(px - x, py - y)
        second = np.minimum(second, np.maximum(first, distance))
        first = np.minimum(first, distance)
    width = rng.uniform(0.05, 0.09) / cells
    lines = np.clip((width - (second - first) / 2) * size + 0.5, 0, 1).astype(np.float32)
    return Marks(lines if where is None else lines * (where > 0.5), _dark(rng, image, 0.1, 0.35))


def stains(rng: Rng, image: Array, where: Array | None) -> Marks:
    """Soft-edged drops and streaks of a dye through which the surface shows."""
    size, cells = len(image), int(rng.integers(4, 7))
    field = np.zeros((size, size), np.float32)
    fine = cells * 2
    for x, y in _places(rng, fine, 1.0, where, 0.45):
        radius = rng.uniform(0.5, 1.1) / fine
        drop = fill(size, [ellipse(x, y, radius, radius * rng.uniform(0.5, 1.0))])
        field = np.maximum(field, drop * np.float32(rng.uniform(0.55, 0.95)))
    rough = np.clip(blur(field, 0.012) * (1 + 0.25 * noise(rng, size, 24)), 0, 1)
    dye = np.asarray(rng.uniform(0.25, 0.75, 3), np.float32)
    return Marks(np.asarray(0.75 * rough, np.float32), np.asarray(image * dye, np.float32))


def gaps(rng: Rng, image: Array, where: Array | None) -> Marks:
    """Square openings in a lattice, of which most are closed."""
    size, cells = len(image), int(rng.integers(9, 14))
    half = 0.42 / cells
    squares = [box(x - half, y - half, x + half, y + half) for x, y in _places(rng, cells, 0.0, where, 0.4)]
    return Marks(fill(size, squares), _dark(rng, image, 0.1, 0.4))


def patches(rng: Rng, image: Array, where: Array | None) -> Marks:
    """Fields of other colours with plain edges."""
    size, cells = len(image), int(rng.integers(6, 9))
    mean, coverage = image.mean((0, 1)), np.zeros((size, size), np.float32)
    paint = np.array(image)
    colours = [np.clip(mean * rng.uniform(0.5, 1.5, 3), 0.03, 0.97).astype(np.float32) for _ in range(2)]
    grain = (image.mean(2) / max(float(mean.mean()), 1e-3))[..., None]
    for x, y in _places(rng, cells, 0.9, where, 0.6):
        t = np.sort(rng.uniform(0, 2 * np.pi, 7))
        reach = rng.uniform(0.35, 0.75, 7) / cells
        field = fill(size, [np.stack([x + reach * np.cos(t), y + reach * np.sin(t)], 1)])
        paint = blend(paint, colours[int(rng.integers(0, 2))], field)
        coverage = np.maximum(coverage, field)
    return Marks(coverage, np.asarray(paint * np.clip(grain, 0.6, 1.4), np.float32))


LOOKS: dict[str, Look] = {
    "round_hole": holes,
    "dark_speck": specks,
    "scratch_line": scratches,
    "bright_glint": glints,
    "crack_net": cracks,
    "dye_stain": stains,
    "square_gap": gaps,
    "colour_patch": patches,
}
"""Every look by the name that it has as a defect."""
