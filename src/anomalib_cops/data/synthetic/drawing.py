"""Draw labelled synthetic pictures: any category, with or without a defect, from a seed and an index."""

import zlib
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anomalib_cops.data.synthetic.camera import Camera
from anomalib_cops.data.synthetic.canvas import Array, Rng, Scene
from anomalib_cops.data.synthetic.confusable import CONFUSABLE, FOREIGN_LOOKS
from anomalib_cops.data.synthetic.defects import DAMAGES
from anomalib_cops.data.synthetic.levels import LEVELS, prominence, visible_change
from anomalib_cops.data.synthetic.long_objects import LONG_OBJECTS
from anomalib_cops.data.synthetic.round_objects import ROUND_OBJECTS
from anomalib_cops.data.synthetic.surfaces import SURFACES
from anomalib_cops.errors import InputError, nearest

_PAINTERS = {**SURFACES, **ROUND_OBJECTS, **LONG_OBJECTS, **CONFUSABLE}

CATEGORIES: tuple[str, ...] = (*SURFACES, *ROUND_OBJECTS, *LONG_OBJECTS)
"""Names of the products that damage shows on, surfaces first."""

LOOK_CATEGORIES: tuple[str, ...] = tuple(CONFUSABLE)
"""Names of the surfaces on which a look is normal that is a defect of others."""

WORLDS: dict[str, tuple[str, ...]] = {"damage": CATEGORIES, "looks": LOOK_CATEGORIES}
"""Products by what their defects are: damage, which no product has when it is good, or a look that others have."""

DEFECTS: tuple[str, ...] = (*DAMAGES, "missing_part", "misprint")
"""Names of the kinds of damage."""

# A surface fills the picture and has no outline that could break.
_SURFACE_DAMAGES = ("scratch", "stain", "hole", "contamination", "discoloration")
_OBJECT_DAMAGES = ("scratch", "crack", "stain", "contamination", "discoloration", "broken_edge")
_DAMAGES_OF_CATEGORY: dict[str, tuple[str, ...]] = {
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


_LEAST_SIZE = 32
_ATTEMPTS = 12


@dataclass(frozen=True)
class Sample:
    """One labelled picture.

    Attributes:
        image: RGB levels, uint8, shape (size, size, 3).
        mask: Anomalous pixels, bool, shape (size, size).
        category: A product of one of ``WORLDS``.
        defect: One of ``DEFECTS``, or ``"good"``.
    """

    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    category: str
    defect: str


def defects_of(category: str) -> tuple[str, ...]:
    """Return the names of the defects that a category can have.

    Raises:
        InputError: The category is unknown.
    """
    _check("category", category, tuple(_PAINTERS))
    if category in FOREIGN_LOOKS:
        return FOREIGN_LOOKS[category]
    shared = _SURFACE_DAMAGES if category in SURFACES else _OBJECT_DAMAGES
    return (*shared, *_DAMAGES_OF_CATEGORY[category])


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
    """Draw one picture; the same arguments give the same pixels in any process and order.

    With and without ``anomalous``, the same index shows the same product: outside the mask the two pictures are equal,
    and inside it every pixel has visibly changed. A defect is drawn anew, at most a dozen times, until its prominence
    is within the level; if none is, the nearest is kept.

    Args:
        category: A product of one of ``WORLDS``.
        index: Number of the picture within its category, 0 or more.
        seed: Seed of all pictures, 0 or more.
        anomalous: Whether the product has a defect.
        size: Side of the picture in pixels, at least 32.
        defect: The kind of defect; by default one of ``defects_of(category)`` is drawn.
        level: How much the defect stands out, one of ``LEVELS``; flawless pictures are the same at every level.

    Raises:
        InputError: The category, defect or level is unknown, the index or seed negative, or the size too small; or the
            product cannot show the defect.
    """
    kinds = defects_of(category)
    if size < _LEAST_SIZE:
        raise InputError(
            f"synthetic pictures have at least {_LEAST_SIZE} pixels a side, not {size}; ask for a larger size."
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
    wanted, threshold, push = LEVELS[level], visible_change(flawless), 0.0
    best: tuple[float, Sample] | None = None
    for attempt in range(_ATTEMPTS):
        damaged = camera.take(_damage(kind, _stream(category, index, seed, 3 + attempt), scene, push))
        # Tiny pictures may hide a fine defect whatever its strength: late attempts accept a fainter one.
        mask = _changed(flawless, damaged, threshold if attempt < _ATTEMPTS // 2 else 0.6 * threshold)
        seen = np.count_nonzero(mask) >= max(4, 0.0008 * size * size)
        off = wanted.log_distance(prominence(flawless, damaged)) if seen else -1.0
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


def _stream(category: str, index: int, seed: int, purpose: int) -> Rng:
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence([seed, zlib.crc32(category.encode()), index, purpose]))
    )


def _damage(kind: str, rng: Rng, scene: Scene, push: float) -> Array:
    strength = max(float(rng.uniform(0.4, 1.0)) + push, 0.15)
    if kind in scene.faults and (kind not in DAMAGES or rng.random() < 0.7):
        return scene.faults[kind](rng)
    return DAMAGES[kind](rng, scene, strength)


def _changed(
    flawless: npt.NDArray[np.uint8], damaged: npt.NDArray[np.uint8], threshold: Array
) -> npt.NDArray[np.bool_]:
    """Mark the pixels whose own level and whose neighbourhood's mean level differ visibly between two pictures."""
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
