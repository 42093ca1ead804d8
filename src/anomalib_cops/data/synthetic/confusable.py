"""Surfaces on which what is a defect elsewhere is normal: each has a ground and one look that belongs to it."""

from collections.abc import Callable
from functools import partial

import numpy as np

from anomalib_cops.data.synthetic.canvas import Array, Rng, Scene, grey, noise, profile, tint, turned, warm
from anomalib_cops.data.synthetic.looks import LOOKS

Ground = Callable[[Rng, int], Array]


def _plain(colour: Callable[[Rng], Array], grain: float, cells: int) -> Ground:
    def paint(rng: Rng, size: int) -> Array:
        shade = 1 + grain * noise(rng, size, cells) + 0.5 * grain * noise(rng, size, 5)
        return np.asarray(colour(rng) * shade[..., None], np.float32)

    return paint


def _streaked(colour: Callable[[Rng], Array], depth: float, cells: int) -> Ground:
    def paint(rng: Rng, size: int) -> Array:
        u, v = turned(size, rng.uniform(-0.3, 0.3))
        shade = 1 + depth * profile(rng, v + 0.02 * noise(rng, size, 4), cells) + 0.03 * noise(rng, size, 50)
        return np.asarray(colour(rng) * shade[..., None], np.float32)

    return paint


def _woven(colour: Callable[[Rng], Array], threads: float) -> Ground:
    def paint(rng: Rng, size: int) -> Array:
        u, v = turned(size, rng.uniform(-0.2, 0.2), threads)
        shade = 0.85 + 0.12 * np.sin(2 * np.pi * u) * np.sin(2 * np.pi * v) + 0.04 * noise(rng, size, 40)
        return np.asarray(colour(rng) * shade[..., None], np.float32)

    return paint


def _dots(colour: Callable[[Rng], Array], pitch: float) -> Ground:
    def paint(rng: Rng, size: int) -> Array:
        u, v = turned(size, rng.uniform(-0.5, 0.5), pitch)
        bumps = np.cos(2 * np.pi * u) + np.cos(2 * np.pi * v)
        return np.asarray(colour(rng) * (0.9 + 0.06 * bumps + 0.03 * noise(rng, size, 30))[..., None], np.float32)

    return paint


# Two products for each look, one after the other: prompts are trained on the first and tested on the second of them.
_GROUNDS: dict[str, tuple[str, Ground]] = {
    "perforated_sheet": ("round_hole", _streaked(lambda r: grey(r, (0.55, 0.8)), 0.03, 90)),
    "punched_leather": ("round_hole", _plain(lambda r: warm(r, (0.35, 0.65)), 0.09, 34)),
    "granite": ("dark_speck", _plain(lambda r: grey(r, (0.6, 0.85)), 0.1, 50)),
    "terrazzo": ("dark_speck", _dots(lambda r: warm(r, (0.65, 0.9)), 7)),
    "ground_steel": ("scratch_line", _streaked(lambda r: grey(r, (0.4, 0.65)), 0.06, 140)),
    "frosted_glass": ("scratch_line", _plain(lambda r: tint(r, (0.65, 0.9), (0.05, 0.25)), 0.02, 5)),
    "sequin_cloth": ("bright_glint", _woven(lambda r: tint(r, (0.3, 0.6), (0.5, 0.9)), 18)),
    "glitter_rubber": ("bright_glint", _dots(lambda r: tint(r, (0.25, 0.5), (0.3, 0.8)), 13)),
    "craquele_glaze": ("crack_net", _plain(lambda r: tint(r, (0.7, 0.9), (0.1, 0.35)), 0.03, 8)),
    "dried_clay": ("crack_net", _plain(lambda r: warm(r, (0.45, 0.7)), 0.07, 70)),
    "marbled_paper": ("dye_stain", _plain(lambda r: warm(r, (0.8, 0.95)), 0.02, 60)),
    "cowhide": ("dye_stain", _streaked(lambda r: warm(r, (0.75, 0.95)), 0.07, 70)),
    "open_lattice": ("square_gap", _woven(lambda r: warm(r, (0.5, 0.8)), 11)),
    "mosaic_grid": ("square_gap", _dots(lambda r: tint(r, (0.5, 0.8), (0.2, 0.6)), 10)),
    "camouflage": ("colour_patch", _woven(lambda r: tint(r, (0.35, 0.65), (0.2, 0.5)), 24)),
    "patchwork_felt": ("colour_patch", _plain(lambda r: tint(r, (0.4, 0.7), (0.2, 0.6)), 0.08, 60)),
}
# Which other looks are defects of these two products, counted from their own one. Some pairings are in both, as a
# product that is new has looks that are known; others are in the test alone.
_FOREIGN_STEPS = ((1, 2, 3, 5, 6), (2, 4, 5, 7))
_ATTEMPTS = 20


def _foreign(product: str) -> tuple[str, ...]:
    """Return the looks that are defects of a product."""
    names, look = tuple(LOOKS), _GROUNDS[product][0]
    first = next(name for name, (own, _) in _GROUNDS.items() if own == look)
    return tuple(names[(names.index(look) + step) % len(names)] for step in _FOREIGN_STEPS[product != first])


def _blot(rng: Rng, size: int) -> Array:
    """Draw an irregular region (size, size) for a defect: above 0.5 inside."""
    x, y = rng.uniform(0.2, 0.8, 2)
    radius, slim, turn = np.exp(rng.uniform(np.log(0.09), np.log(0.22))), rng.uniform(0.5, 1.0), rng.uniform(0, np.pi)
    px, py = turned(size, turn)
    cx, cy = np.cos(turn) * (x - 0.5) + np.sin(turn) * (y - 0.5), np.cos(turn) * (y - 0.5) - np.sin(turn) * (x - 0.5)
    distance = np.hypot(px - np.float32(cx), (py - np.float32(cy)) / np.float32(slim)) / np.float32(radius)
    return np.asarray(1.5 - distance + 0.2 * noise(rng, size, 8), np.float32)


def _scene(product: str, rng: Rng, size: int) -> Scene:
    look, ground = _GROUNDS[product]
    bare = ground(rng, size)
    image = LOOKS[look](rng, bare, None).on(bare)

    def spoilt(name: str, fault: Rng) -> Array:
        for _ in range(_ATTEMPTS):
            marks = LOOKS[name](fault, bare, _blot(fault, size))
            if float(marks.coverage.mean()) > 0.0015:
                break
        return marks.on(image)

    faults = {name: partial(spoilt, name) for name in _foreign(product)}
    return Scene(image, np.ones((size, size), np.float32), bare.mean((0, 1)) * 0.2, faults)


CONFUSABLE: dict[str, Callable[[Rng, int], Scene]] = {name: partial(_scene, name) for name in _GROUNDS}
FOREIGN_LOOKS: dict[str, tuple[str, ...]] = {name: _foreign(name) for name in _GROUNDS}
"""Looks that are defects of each product."""
OWN_LOOK: dict[str, str] = {name: look for name, (look, _) in _GROUNDS.items()}
"""The look that is normal on each product."""
