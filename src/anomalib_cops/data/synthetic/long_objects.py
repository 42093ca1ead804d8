"""Single products with a straight outline on a plain ground: connector, screw, circuit chip."""

from collections.abc import Callable

import numpy as np

from anomalib_cops.data.synthetic.canvas import (
    Array,
    Points,
    Pose,
    Rng,
    Scene,
    blend,
    box,
    ellipse,
    fill,
    grey,
    noise,
    profile,
    tint,
    warm,
)
from anomalib_cops.data.synthetic.round_objects import digits, ground, misprinted, solid


def _bent(points: Points, root: float, lean: float) -> Points:
    """Bend the part of a pin that is farther out than ``root`` sideways."""
    out = points.copy()
    out[:, 0] += lean * np.abs(points[:, 1] - root)
    return out


def connector(rng: Rng, size: int) -> Scene:
    """Paint a plug housing with a row of metal pins; a pin can be missing or bent."""
    pose = Pose.random(rng, (0.32, 0.42), turn=0.35)
    table, light = ground(rng, size), float(rng.uniform(0, 2 * np.pi))
    count, slim = int(rng.integers(4, 9)), rng.uniform(0.32, 0.5)
    pitch = 1.8 / count
    roots = (np.arange(count) - (count - 1) / 2) * pitch
    shell = tint(rng, (0.15, 0.9), (0.0, 0.85))
    shell = np.where(np.abs(shell - table.mean((0, 1))).max() < 0.2, np.mod(shell + 0.4, 1.0), shell).astype(np.float32)
    housing = fill(size, [pose.place(box(-1, -slim, 1, slim))])
    slots = fill(size, [pose.place(box(r - 0.3 * pitch, -0.55 * slim, r + 0.3 * pitch, 0.5 * slim)) for r in roots])
    metal = grey(rng, (0.6, 0.9)) * np.where(rng.random() < 0.5, warm(rng, (0.95, 1.1)), 1.0)
    length, grain = rng.uniform(0.35, 0.6), 0.03 * noise(rng, size, 40)
    pins = [box(r - 0.13 * pitch, slim * 0.98, r + 0.13 * pitch, slim + length) for r in roots]
    contacts = [box(r - 0.14 * pitch, -0.4 * slim, r + 0.14 * pitch, 0.35 * slim) for r in roots]
    plastic = np.asarray(shell * (1 + grain)[..., None], np.float32)
    shiny = np.asarray(metal * (1 + grain)[..., None], np.float32)

    def paint(shapes: list[Points], inner: list[Points]) -> Array:
        image = solid(table, fill(size, [pose.place(p) for p in shapes]), shiny, light, height=0.5, edge=0.008)
        image = solid(image, housing, plastic, light, height=0.7, edge=0.015)
        image = blend(image, shell * 0.3, slots)
        return blend(image, metal * 0.9, fill(size, [pose.place(p) for p in inner]))

    def missing(fault: Rng) -> Array:
        lost = int(fault.integers(0, count))
        outer = pins[:lost] + pins[lost + 1 :]
        return paint(outer, contacts[:lost] + contacts[lost + 1 :])

    def bent(fault: Rng) -> Array:
        which, lean = int(fault.integers(0, count)), fault.choice([-1, 1]) * fault.uniform(0.25, 0.7)
        return paint([_bent(p, slim, lean) if i == which else p for i, p in enumerate(pins)], contacts)

    region = np.maximum(housing, fill(size, [pose.place(p) for p in pins]))
    return Scene(paint(pins, contacts), region, table, {"missing_part": missing, "deformation": bent})


def screw(rng: Rng, size: int) -> Scene:
    """Paint a screw from the side: head, threaded shank, tip; the thread can be missing over some length."""
    pose = Pose.random(rng, (0.38, 0.46))
    table, light = ground(rng, size), float(rng.uniform(0, 2 * np.pi))
    head, shank = rng.uniform(0.3, 0.4), rng.uniform(0.15, 0.22)
    turns = rng.uniform(9, 15)
    depth, flat = 0.3 * shank, rng.uniform(0.0, 0.35)
    metal = grey(rng, (0.4, 0.85)) * np.where(rng.random() < 0.35, warm(rng, (0.95, 1.1)), 1.0)
    x, y = pose.local(size)
    scuff = 0.03 * noise(rng, size, 40) + 0.05 * profile(rng, y, 30)
    start, tip = -0.62 + flat, 0.98
    station = np.linspace(start, tip, 160)
    slant = 0.12

    def thread(gap: tuple[float, float] | None = None) -> tuple[Array, Array]:
        worn = (lambda at: (at > gap[0]) & (at < gap[1])) if gap else (lambda at: np.zeros_like(at, bool))
        taper = np.clip((tip - station) / 0.22, 0.08, 1)
        sides = []
        for side in (-1, 1):
            wave = 0.5 + 0.5 * np.cos(2 * np.pi * turns * (station + side * slant * shank))
            wave = np.where(worn(station), 0.0, wave)
            sides.append(side * taper * (shank - depth * (1 - wave)))
        shaft = np.concatenate([np.stack([station, sides[0]], 1), np.stack([station, sides[1]], 1)[::-1]])
        neck = box(-0.7, -shank * 0.85, start + 0.01, shank * 0.85)
        cap = np.array(
            [
                [-1, -head * 0.8],
                [-0.92, -head],
                [-0.7, -head],
                [-0.62, -shank],
                [-0.62, shank],
                [-0.7, head],
                [-0.92, head],
                [-1, head * 0.8],
            ]
        )
        region = fill(size, [pose.place(shaft), pose.place(neck), pose.place(cap)])
        along = x + slant * y
        ridges = np.where((x > start) & ~worn(x), 0.24 * np.cos(2 * np.pi * turns * along), 0.0)
        ridges = ridges - 0.22 * np.exp(-(((x + 0.66) / 0.02) ** 2))
        body = np.where(x < -0.64, head, shank)
        roundness = 0.3 * (1 - np.clip((y / body + 0.3) ** 2, 0, 1.6))
        return region, np.asarray(metal * (0.82 + ridges + roundness + scuff)[..., None], np.float32)

    region, paint = thread()

    def missing(fault: Rng) -> Array:
        begin = fault.uniform(start + 0.05, 0.45)
        worn_region, worn_paint = thread((begin, begin + fault.uniform(0.2, 0.45)))
        return solid(table, worn_region, worn_paint, light, height=0.5, edge=0.01)

    image = solid(table, region, paint, light, height=0.5, edge=0.01)
    return Scene(image, region, table, {"missing_part": missing})


def circuit_chip(rng: Rng, size: int) -> Scene:
    """Paint a dark package with legs on both sides, a corner mark and a printed number."""
    pose = Pose.random(rng, (0.32, 0.4), turn=0.3)
    table, light = ground(rng, size), float(rng.uniform(0, 2 * np.pi))
    count, slim, reach = int(rng.integers(4, 9)), rng.uniform(0.42, 0.62), rng.uniform(0.18, 0.28)
    pitch = 1.85 / count
    roots = (np.arange(count) - (count - 1) / 2) * pitch
    metal = grey(rng, (0.65, 0.92))
    legs = [box(r - 0.22 * pitch, slim * 0.97, r + 0.22 * pitch, slim + reach) for r in roots]
    legs += [leg * (1, -1) for leg in legs]
    body = fill(size, [pose.place(box(-1, -slim, 1, slim))])
    resin = grey(rng, (0.1, 0.28)) if rng.random() < 0.8 else tint(rng, (0.3, 0.6), (0.3, 0.7))
    case = np.asarray(resin * (1 + 0.06 * noise(rng, size, 70))[..., None], np.float32)
    ink = np.clip(resin + rng.uniform(0.35, 0.65), 0, 1).astype(np.float32)
    dot = fill(size, [pose.place(ellipse(-0.82, 0.6 * slim, 0.08))])
    marks = digits([int(n) for n in rng.integers(0, 9, 4)], pose, 0.0, -0.12 * slim, 0.7 * slim, 0.022)
    marks += digits([int(n) for n in rng.integers(0, 9, 3)], pose, 0.1, 0.62 * slim, 0.35 * slim, 0.015)

    def paint(shapes: list[Points]) -> Array:
        image = solid(table, fill(size, [pose.place(p) for p in shapes]), metal, light, height=0.6, edge=0.008)
        return blend(solid(image, body, case, light, height=0.8, edge=0.012), resin * 0.45, dot)

    plain = paint(legs)
    printed = fill(size, marks)

    def missing(fault: Rng) -> Array:
        lost = int(fault.integers(0, len(legs)))
        return blend(paint(legs[:lost] + legs[lost + 1 :]), ink, printed)

    def bent(fault: Rng) -> Array:
        which, lean = int(fault.integers(0, len(legs))), fault.choice([-1, 1]) * fault.uniform(0.4, 1.0)
        root = slim if which < count else -slim
        return blend(paint([_bent(p, root, lean) if i == which else p for i, p in enumerate(legs)]), ink, printed)

    def misprint(fault: Rng) -> Array:
        return misprinted(fault, size, plain, marks, ink, 0.5 * slim * pose.scale)

    region = np.maximum(body, fill(size, [pose.place(p) for p in legs]))
    faults = {"missing_part": missing, "deformation": bent, "misprint": misprint}
    return Scene(blend(plain, ink, printed), region, table, faults)


LONG_OBJECTS: dict[str, Callable[[Rng, int], Scene]] = {
    "connector": connector,
    "screw": screw,
    "circuit_chip": circuit_chip,
}
