"""Flat products that fill the picture: textiles, metal, wood, leather, tiles, prints, meshes."""

from collections.abc import Callable

import cv2
import numpy as np

from anomalib_cops.data.synthetic.canvas import (
    Array,
    Fault,
    Pose,
    Rng,
    Scene,
    blend,
    blur,
    box,
    ellipse,
    fill,
    grey,
    noise,
    profile,
    relief,
    tint,
    turned,
    warm,
)


def _surface(image: Array, backdrop: Array, faults: dict[str, Fault] | None = None) -> Scene:
    return Scene(image, np.ones(image.shape[:2], np.float32), backdrop, faults or {})


def woven_fabric(rng: Rng, size: int) -> Scene:
    """Paint plain weave of two thread systems; a thread can be missing over some length."""
    u, v = turned(size, rng.uniform(-0.5, 0.5), rng.uniform(13, 22))
    wobble = rng.uniform(0.05, 0.2)
    u = u + wobble * noise(rng, size, 5)
    v = v + wobble * noise(rng, size, 5)
    warp, weft = tint(rng, (0.4, 0.9)), tint(rng, (0.35, 0.9))
    weft = np.where(rng.random() < 0.5, warp * rng.uniform(0.75, 1.0), weft).astype(np.float32)
    yarn = 0.06 * noise(rng, size, 48)
    below = np.float32(rng.uniform(0.1, 0.35))

    def weave(gap: Array | None = None) -> Array:
        over = np.mod(np.floor(u) + np.floor(v), 2) < 1
        across, along = np.abs(np.sin(np.pi * u)), np.abs(np.sin(np.pi * v))
        light_warp = np.sqrt(across) * (0.72 + 0.28 * along)
        light_weft = np.sqrt(along) * (0.72 + 0.28 * across)
        if gap is not None:
            over = over & (gap < 0.5)
            light_weft = light_weft * (1 - 0.65 * gap * (np.mod(np.floor(u) + np.floor(v), 2) < 1))
        shade = np.where(over, light_warp, light_weft) * (1 - below) + below + yarn
        return np.asarray(np.where(over[..., None], warp, weft) * shade[..., None], np.float32)

    def missing(fault: Rng) -> Array:
        thread = np.floor(fault.uniform(u.min() * 0.5, u.max() * 0.5))
        middle, half = fault.uniform(v.min() * 0.4, v.max() * 0.4), fault.uniform(2.5, 9)
        count = fault.integers(1, 3)
        hit = (np.floor(u) >= thread) & (np.floor(u) < thread + count) & (np.abs(v - middle) < half)
        return weave(hit.astype(np.float32))

    return _surface(weave(), tint(rng, (0.03, 0.15)), {"missing_part": missing})


def brushed_metal(rng: Rng, size: int) -> Scene:
    """Paint metal with fine parallel brushing and a soft reflection."""
    turn = rng.choice([0.0, np.pi / 2]) + rng.uniform(-0.15, 0.15)
    u, v = turned(size, turn)
    slow = 0.5 + 0.5 * np.sin(np.float32(rng.uniform(2, 7)) * u + np.float32(rng.uniform(0, 6)))
    streaks = profile(rng, v, 180) * slow + profile(rng, v + 0.02 * u, 110) * (1 - slow)
    image = grey(rng, (0.3, 0.7)) * (1 + rng.uniform(0.05, 0.16) * streaks + 0.05 * profile(rng, v, 24))[..., None]
    glow = rng.uniform(0, 0.25) * np.exp(-(((u - rng.uniform(-0.4, 0.4)) / rng.uniform(0.15, 0.4)) ** 2))
    image = image + (glow + 0.02 * noise(rng, size, 64))[..., None]
    return _surface(np.asarray(image, np.float32), grey(rng, (0.03, 0.12)))


def wood(rng: Rng, size: int) -> Scene:
    """Paint wood with year rings cut lengthwise and fine fibres."""
    u, v = turned(size, rng.choice([0.0, np.pi / 2]) + rng.uniform(-0.2, 0.2))
    bend = rng.uniform(0.02, 0.09) * noise(rng, size, 3)
    rings = np.mod((v + bend) * rng.uniform(5, 13) + profile(rng, v, 7) * 0.4, 1.0)
    late = np.clip(rings * 1.6 - 0.3, 0, 1) ** 2 * np.clip((1 - rings) * 6, 0, 1)
    light = warm(rng, (0.55, 0.9))
    dark = light * rng.uniform(0.55, 0.8)
    image = blend(np.broadcast_to(light, (size, size, 3)), dark, np.asarray(late, np.float32))
    fibres = 0.05 * profile(rng, v + bend, 150) + 0.03 * profile(rng, v + 0.03 * u, 90) + 0.02 * noise(rng, size, 40)
    return _surface(np.asarray(image * (1 + fibres[..., None]), np.float32), warm(rng, (0.05, 0.15)))


def leather(rng: Rng, size: int) -> Scene:
    """Paint grained leather: pebbles parted by fine creases, lit from one side."""
    cells = int(rng.integers(14, 27))
    y, x = np.divmod(np.arange(cells * cells), cells)
    spots = (np.stack([x, y], 1) + rng.uniform(0.05, 0.95, (cells * cells, 2))) / cells
    pixels = np.minimum((spots * size).astype(int), size - 1)
    seeds = np.ones((size, size), np.uint8)
    seeds[pixels[:, 1], pixels[:, 0]] = 0
    distance = cv2.distanceTransform(seeds, cv2.DIST_L2, 3).astype(np.float32) * (cells / size)
    pebbles = blur(1 - np.minimum(distance, 1.0) ** 2, 0.004)
    light = rng.uniform(0, 2 * np.pi)
    base = np.where(rng.random() < 0.6, warm(rng, (0.2, 0.7)), tint(rng, (0.15, 0.6), (0.0, 0.5)))
    shade = 0.72 + 0.34 * pebbles + rng.uniform(0.006, 0.014) * relief(pebbles, light) + 0.05 * noise(rng, size, 4)
    return _surface(np.asarray(base * shade[..., None], np.float32), warm(rng, (0.05, 0.2)))


def ceramic_tile(rng: Rng, size: int) -> Scene:
    """Paint glazed tiles with grout lines; a tile can be missing or have a broken edge."""
    u, v = turned(size, rng.uniform(-0.12, 0.12), rng.uniform(1.8, 3.6))
    u, v = u + np.float32(rng.uniform(0, 1)), v + np.float32(rng.uniform(0, 1))
    joint = rng.uniform(0.03, 0.07)
    pu, pv = np.mod(u, 1.0), np.mod(v, 1.0)
    edge = np.minimum(np.minimum(pu, 1 - pu), np.minimum(pv, 1 - pv))
    grout = 1 - np.clip((edge - joint / 2) / 0.02, 0, 1)
    shades = rng.uniform(0.92, 1.06, (8, 8)).astype(np.float32)
    column, row = np.floor(u).astype(int) % 8, np.floor(v).astype(int) % 8
    glaze = tint(rng, (0.5, 0.92), (0.0, 0.5))
    speckle = rng.uniform(0.0, 0.07) * noise(rng, size, 40) + 0.03 * noise(rng, size, 5, 2)
    bevel = 0.1 * np.clip(1 - (edge - joint / 2) / 0.06, 0, 1) * np.sign(0.5 - np.where(edge == pu, pu, pv))
    body = glaze * (shades[row, column] + speckle + bevel)[..., None]
    mortar = grey(rng, (0.25, 0.8)) * (1 + 0.08 * noise(rng, size, 64))[..., None]
    image = blend(np.asarray(body, np.float32), mortar, np.asarray(grout, np.float32))
    bed = np.asarray(mortar * 0.7 + 0.05 * noise(rng, size, 24, 2)[..., None], np.float32)

    def missing(fault: Rng) -> Array:
        x, y = fault.integers(size // 4, size - size // 4, 2)
        gone = (column == column[y, x]) & (row == row[y, x]) & (grout < 0.5)
        return blend(image, bed, blur(gone.astype(np.float32), 0.004))

    return _surface(image, bed, {"missing_part": missing})


def carpet(rng: Rng, size: int) -> Scene:
    """Paint looped pile with faint stripes of a second yarn."""
    pile = noise(rng, size, 56) + 0.7 * noise(rng, size, 90)
    shade = 0.8 + rng.uniform(0.1, 0.2) * pile + 0.03 * noise(rng, size, 4)
    first, second = tint(rng, (0.3, 0.75)), tint(rng, (0.3, 0.75))
    _, v = turned(size, rng.choice([0.0, np.pi / 2]) + rng.uniform(-0.1, 0.1), rng.uniform(3, 7))
    stripe = np.clip(np.sin(2 * np.pi * v + 0.3 * pile) * 3, 0, 1) * rng.choice([0.0, 0.35, 0.8])
    image = blend(np.broadcast_to(first, (size, size, 3)), second, np.asarray(stripe, np.float32)) * shade[..., None]
    return _surface(np.asarray(image, np.float32), first * 0.35)


def _motif(kind: int) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    if kind == 0:
        return ellipse(0, 0, 1, corners=20)
    if kind == 1:
        return box(-0.85, -0.85, 0.85, 0.85)
    if kind == 2:
        radius = np.where(np.arange(10) % 2, 0.45, 1.1)
        return np.stack([radius * np.sin(t), -radius * np.cos(t)], 1)
    if kind == 3:
        return np.array([[0, -1.1], [0.75, 0], [0, 1.1], [-0.75, 0]])
    a, b = 0.35, 1.0
    cross = [[a, -b], [a, -a], [b, -a], [b, a], [a, a], [a, b], [-a, b], [-a, a], [-b, a], [-b, -a], [-a, -a], [-a, -b]]
    return np.array(cross)


def printed_paper(rng: Rng, size: int) -> Scene:
    """Paint a motif printed at regular distances; one print can be missing, shifted, pale, smeared or recoloured."""
    paper = tint(rng, (0.75, 0.97), (0.0, 0.25)) * (1 + 0.02 * noise(rng, size, 40, 2))[..., None]
    ink = tint(rng, (0.1, 0.6), (0.2, 0.95))
    pitch, turn, kind = rng.uniform(0.16, 0.28), rng.uniform(-0.3, 0.3), int(rng.integers(0, 5))
    shape = _motif(kind)
    radius, spin, stagger = pitch * rng.uniform(0.24, 0.36), rng.uniform(0, 1.5), rng.choice([0.0, 0.5])
    cover = rng.uniform(0.8, 1.0) * (1 - 0.05 * np.abs(noise(rng, size, 48)))
    frame = Pose(0.5, 0.5, pitch, turn)
    cells = [(i + stagger * (j % 2), j) for i in range(-6, 7) for j in range(-6, 7)]
    centres = frame.place(np.array(cells))
    centres = centres[np.all((centres > -0.1) & (centres < 1.1), axis=1)]

    def stamp(positions: np.ndarray, scale: float = radius, angle: float = spin) -> Array:
        return fill(size, [Pose(x, y, scale, turn + angle).place(shape) for x, y in positions])

    image = blend(np.asarray(paper, np.float32), ink, stamp(centres) * cover)

    def without(fault: Rng) -> tuple[Array, np.ndarray]:
        inside = np.flatnonzero(np.all((centres > 0.12) & (centres < 0.88), axis=1))
        lost = int(fault.choice(inside))
        rest = np.delete(centres, lost, axis=0)
        return blend(np.asarray(paper, np.float32), ink, stamp(rest) * cover), centres[lost : lost + 1]

    def misprint(fault: Rng) -> Array:
        page, place = without(fault)
        way = int(fault.integers(0, 4))
        if way == 0:
            return blend(page, ink, stamp(place + pitch * fault.uniform(0.2, 0.4, 2)) * cover)
        if way == 1:
            other = np.clip(1.1 - ink[::-1], 0, 1)
            return blend(page, other, stamp(place) * cover)
        if way == 2:
            return blend(page, ink, stamp(place) * cover * np.float32(fault.uniform(0.15, 0.45)))
        smear = stamp(place + 0.12 * pitch) + stamp(place + 0.28 * pitch) * 0.6 + stamp(place)
        return blend(page, ink, np.minimum(smear, 1) * cover)

    return _surface(
        image, grey(rng, (0.1, 0.3)), {"missing_part": lambda fault: without(fault)[0], "misprint": misprint}
    )


def wire_mesh(rng: Rng, size: int) -> Scene:
    """Paint a square mesh of round wires over a plain ground; a wire can be broken."""
    u, v = turned(size, rng.uniform(-0.8, 0.8), rng.uniform(6, 11))
    u, v = u + np.float32(rng.uniform(0, 1)) + 0.05 * noise(rng, size, 4), v + np.float32(rng.uniform(0, 1))
    thick = rng.uniform(0.16, 0.3)
    du, dv = np.abs(np.mod(u, 1.0) - 0.5), np.abs(np.mod(v, 1.0) - 0.5)
    metal = grey(rng, (0.45, 0.9)) * np.where(rng.random() < 0.3, warm(rng, (0.9, 1.0)), 1.0)
    ground_value = rng.uniform(0.03, 0.25) if rng.random() < 0.7 else rng.uniform(0.75, 0.95)
    ground = np.asarray(
        tint(rng, (ground_value, ground_value), (0.0, 0.3)) * (1 + 0.04 * noise(rng, size, 5))[..., None], np.float32
    )
    grain = 1 + 0.05 * noise(rng, size, 60)

    def mesh(cut: Array | None = None) -> Array:
        keep = 1.0 if cut is None else 1 - cut
        first = np.clip((thick - du) * 9, 0, 1) * keep
        second = np.clip((thick - dv) * 9, 0, 1)
        image = blend(ground, metal * 0.9, np.asarray(second, np.float32))
        image = image * (1 - 0.45 * second * np.clip(dv / thick, 0, 1) ** 2)[..., None]
        lit = metal * (1.05 - 0.5 * np.clip(du / thick, 0, 1) ** 2)[..., None]
        return np.asarray(
            blend(np.asarray(image, np.float32), lit, np.asarray(first, np.float32)) * grain[..., None], np.float32
        )

    def missing(fault: Rng) -> Array:
        x, y = fault.integers(size // 5, size - size // 5, 2)
        hit = (np.floor(u) == np.floor(u[y, x])) & (np.abs(v - v[y, x]) < fault.uniform(0.35, 1.6))
        return mesh(hit.astype(np.float32))

    return _surface(mesh(), ground, {"missing_part": missing})


SURFACES: dict[str, Callable[[Rng, int], Scene]] = {
    "woven_fabric": woven_fabric,
    "brushed_metal": brushed_metal,
    "wood": wood,
    "leather": leather,
    "ceramic_tile": ceramic_tile,
    "carpet": carpet,
    "printed_paper": printed_paper,
    "wire_mesh": wire_mesh,
}
