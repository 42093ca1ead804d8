"""Draws labelled pictures of the synthetic world: any category, with or without a defect, from a seed and an index."""

import zlib
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anomalib_cops.data.synthetic.camera import Camera
from anomalib_cops.data.synthetic.canvas import Array, Rng, Scene
from anomalib_cops.data.synthetic.defects import DAMAGES
from anomalib_cops.data.synthetic.long_objects import LONG_OBJECTS
from anomalib_cops.data.synthetic.round_objects import ROUND_OBJECTS
from anomalib_cops.data.synthetic.surfaces import SURFACES
from anomalib_cops.errors import InputError, nearest

_PAINTERS = {**SURFACES, **ROUND_OBJECTS, **LONG_OBJECTS}

CATEGORIES: tuple[str, ...] = tuple(_PAINTERS)
"""Names of the products, surfaces first."""

DEFECTS: tuple[str, ...] = (*DAMAGES, "missing_part", "misprint")
"""Names of the kinds of defects."""

# What can happen to a flat product, and what needs an outline to break.
_SURFACE_DAMAGES = ("scratch", "stain", "hole", "contamination", "discoloration")
_OBJECT_DAMAGES = ("scratch", "crack", "stain", "contamination", "discoloration", "broken_edge")
_OWN: dict[str, tuple[str, ...]] = {
    "woven_fabric": ("missing_part",),
    "brushed_metal": ("crack", "dent"),
    "wood": ("crack", "dent"),
    "leather": ("crack", "dent"),
    "ceramic_tile": ("crack", "missing_part"),
    "carpet": (),
    "printed_paper": ("misprint", "missing_part"),
    "wire_mesh": ("deformation", "missing_part"),
    "bottle_cap": ("dent", "misprint", "missing_part"),
    "washer": ("deformation", "missing_part"),
    "gear": ("hole", "missing_part"),
    "button": ("hole", "missing_part"),
    "tablet": ("hole", "dent", "misprint"),
    "coffee_bean": ("hole", "dent"),
    "connector": ("deformation", "missing_part"),
    "screw": ("deformation", "missing_part"),
    "circuit_chip": ("deformation", "missing_part", "misprint"),
}


@dataclass(frozen=True)
class Level:
    """How much defects stand out: the range of their prominence (see ``prominence``)."""

    least: float = 0.0
    most: float = float("inf")

    def off(self, prominence: float) -> float:
        """By what factor, as a logarithm, a defect is too faint (negative) or too plain (positive); 0 if within."""
        return float(np.log(prominence / np.clip(prominence, self.least, self.most)))


LEVELS: dict[str, Level] = {
    "mixed": Level(),
    "easy": Level(least=0.5),
    "medium": Level(least=0.25, most=0.5),
    "hard": Level(most=0.25),
}
"""From what nobody overlooks to what a careful inspector finds at the second look; ``mixed`` is all of these."""

_SMALLEST = 32
_ATTEMPTS = 12


@dataclass(frozen=True)
class Sample:
    """One labelled picture.

    Attributes:
        image: RGB levels, uint8, shape (size, size, 3).
        mask: Anomalous pixels, bool, shape (size, size).
        category: One of ``CATEGORIES``.
        defect: One of ``DEFECTS``, or ``"good"``.
    """

    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    category: str
    defect: str


def defects_of(category: str) -> tuple[str, ...]:
    """Names the defects that this category can have.

    Raises:
        InputError: The category is unknown.
    """
    _check("category", category, CATEGORIES)
    shared = _SURFACE_DAMAGES if category in SURFACES else _OBJECT_DAMAGES
    return (*shared, *_OWN[category])


def draw(
    category: str,
    index: int,
    *,
    seed: int = 0,
    anomalous: bool,
    size: int = 128,
    defect: str | None = None,
    level: str = "mixed",
) -> Sample:
    """Draws one picture; the same arguments give the same pixels in any process and order.

    With and without ``anomalous``, the same index shows the same picture: outside the mask the two are equal, inside
    it every pixel has visibly changed. A defect is drawn anew, a few times, until it stands out as much as the level
    wants; where a product cannot show such a one, the nearest is kept.

    Args:
        category: One of ``CATEGORIES``.
        index: Which picture of the category, 0 or more.
        seed: Which world, 0 or more.
        anomalous: Whether the product has a defect.
        size: Side of the picture in pixels, at least 32.
        defect: The kind of defect; drawn from ``defects_of(category)`` when not given.
        level: How much the defect stands out, one of ``LEVELS``; the flawless picture is the same at every level.

    Raises:
        InputError: An unknown category, defect or level, a negative index or seed, or too small a size.
    """
    kinds = defects_of(category)
    if size < _SMALLEST:
        raise InputError(
            f"synthetic pictures have at least {_SMALLEST} pixels a side, not {size}; ask for a larger size."
        )
    if index < 0 or seed < 0:
        raise InputError(
            f"synthetic pictures are numbered from 0, not index {index} of seed {seed}; give both from 0 up."
        )
    if defect is not None:
        _check(f"defect of {category}", defect, kinds)
    if level not in LEVELS:
        raise InputError(f"unknown level {level!r} of the synthetic world{nearest(level, LEVELS)}")
    scene = _PAINTERS[category](_stream(category, index, seed, 0), size)
    camera = Camera.random(_stream(category, index, seed, 1), size)
    flawless = camera.take(scene.image)
    if not anomalous:
        return Sample(flawless, np.zeros((size, size), np.bool_), category, "good")
    choice = _stream(category, index, seed, 2)
    kind = defect or kinds[int(choice.random() * len(kinds))]
    wanted, threshold, push = LEVELS[level], _visible(flawless), 0.0
    best: tuple[float, Sample] | None = None
    for attempt in range(_ATTEMPTS):
        damaged = camera.take(_damage(kind, _stream(category, index, seed, 3 + attempt), scene, push))
        # Tiny pictures may hide a fine defect whatever its strength: late attempts accept a fainter one.
        mask = _changed(flawless, damaged, threshold if attempt < _ATTEMPTS // 2 else 0.6 * threshold)
        seen = np.count_nonzero(mask) >= max(4, 0.0008 * size * size)
        off = wanted.off(prominence(flawless, damaged)) if seen else -1.0
        if seen and (best is None or abs(off) < abs(best[0])):
            best = off, Sample(np.where(mask[..., None], damaged, flawless), mask, category, kind)
        if best is not None and best[0] == 0:
            break
        push += 0.15 if off < 0 else -0.1
    if best is None:
        raise InputError(
            f"picture {index} of {category} (seed {seed}) cannot show the defect {kind} at {size} pixels; "
            "ask for another defect, another index or a larger size."
        )
    return best[1]


def prominence(flawless: npt.NDArray[np.uint8], damaged: npt.NDArray[np.uint8]) -> float:
    """Root mean square, over the picture, of the change in units of the least change that an inspector would see.

    But for a constant it is the detectability of a known signal in noise: wide and strong changes count more.
    """
    change = cv2.absdiff(flawless, damaged).max(axis=2).astype(np.float32) / _visible(flawless)
    return float(np.sqrt(np.mean(change * change)))


def _stream(category: str, index: int, seed: int, purpose: int) -> Rng:
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence([seed, zlib.crc32(category.encode()), index, purpose]))
    )


def _damage(kind: str, rng: Rng, scene: Scene, push: float) -> Array:
    strength = max(float(rng.uniform(0.4, 1.0)) + push, 0.15)
    if kind in scene.faults and (kind not in DAMAGES or rng.random() < 0.7):
        return scene.faults[kind](rng)
    return DAMAGES[kind](rng, scene, strength)


def _visible(flawless: npt.NDArray[np.uint8]) -> Array:
    """The least change in levels that an inspector would see: more where the picture itself is busy."""
    brightness = flawless.mean(axis=2, dtype=np.float32)
    window = (max(3, flawless.shape[0] // 16),) * 2
    mean = cv2.blur(brightness, window)
    spread = np.sqrt(np.maximum(cv2.blur(brightness * brightness, window) - mean * mean, 0))
    return np.asarray(9 + 0.35 * spread, np.float32)


def _changed(
    flawless: npt.NDArray[np.uint8], damaged: npt.NDArray[np.uint8], threshold: Array
) -> npt.NDArray[np.bool_]:
    """Where the two pictures differ visibly: by a neighbourhood's mean difference, and at the pixel itself."""
    difference = cv2.absdiff(flawless, damaged).max(axis=2).astype(np.float32)
    mean = cv2.blur(difference, (3, 3))
    changed = (mean >= threshold) & (difference >= 4)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(changed.astype(np.uint8), connectivity=8)
    least = max(2, round(0.0002 * flawless.shape[0] ** 2))
    large = stats[:, cv2.CC_STAT_AREA] >= least
    large[0] = False
    return np.asarray(large[labels] if count > 1 else changed, np.bool_)


def _check(what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise InputError(f"unknown {what} {name!r} in the synthetic world{nearest(name, known)}")
