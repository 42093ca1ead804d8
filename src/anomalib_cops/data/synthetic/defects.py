"""Damage that any product can suffer: each function paints one defect over a flawless scene."""

from collections.abc import Callable

import cv2
import numpy as np

from anomalib_cops.data.synthetic.canvas import (
    Array,
    Points,
    Real,
    Rng,
    Scene,
    blend,
    blur,
    fill,
    grid,
    noise,
    relief,
    stroke,
    tint,
    warm,
)

Damage = Callable[[Rng, Scene, float], Array]


def _spot(rng: Rng, scene: Scene, margin: float = 0.03) -> tuple[float, float]:
    """Draw a place (x, y) well inside the product."""
    depth = blur(scene.region, margin)
    inside = np.flatnonzero(depth > 0.9 * float(depth.max()))
    place = int(inside[int(rng.random() * len(inside))])
    return (place % scene.size + 0.5) / scene.size, (place // scene.size + 0.5) / scene.size


def _extent(rng: Rng, low: float, high: float) -> float:
    """Draw a size, uniformly on the logarithmic scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _blob(rng: Rng, scene: Scene, x: float, y: float, radius: float, rough: float = 0.35, soft: float = 0.15) -> Array:
    """Return the coverage of an irregular patch around (x, y); ``soft`` is the width of its edge in radii."""
    px, py = grid(scene.size)
    angle, slim = rng.uniform(0, np.pi), rng.uniform(0.55, 1.0)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dx, dy = px - np.float32(x), py - np.float32(y)
    distance = np.hypot(dx * c + dy * s, (dy * c - dx * s) / slim) / radius
    cells = int(np.clip(1.6 / radius, 3, 48))
    level = 1 - distance + rough * 0.5 * noise(rng, scene.size, cells, 2)
    width = max(soft, 0.7 / (radius * scene.size))
    return np.asarray(np.clip(level / width + 0.5, 0, 1), np.float32)


def _path(rng: Rng, x: Real, y: Real, length: float, steps: int, turn: float) -> Points:
    """Draw a random walk (steps, 2) through (x, y) whose heading changes by about ``turn`` radians a step."""
    return _walk(rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, turn, steps)), x, y, length)


def _jagged(rng: Rng, x: Real, y: Real, length: float, steps: int) -> Points:
    """Draw a path (steps, 2) through (x, y) that keeps its heading but turns sharply at every step, as cracks do."""
    return _walk(
        rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.12, steps)) + rng.normal(0, 0.55, steps), x, y, length
    )


def _walk(heading: Points, x: Real, y: Real, length: float) -> Points:
    steps = len(heading)
    walk = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1), axis=0) * (length / steps)
    return np.asarray(walk - walk[steps // 2] + (x, y))


def _contrasting(rng: Rng, scene: Scene, alpha: Array, least: float) -> Array:
    """Draw a colour that differs by at least ``least`` in some channel from what it will cover."""
    below = (scene.image * alpha[..., None]).sum((0, 1)) / max(float(alpha.sum()), 1e-6)
    for _ in range(8):
        paint = tint(rng, (0.02, 0.95), (0.0, 0.95))
        if float(np.abs(paint - below).max()) > least:
            return paint
    return np.full(3, 0.03 if below.mean() > 0.5 else 0.95, np.float32)


def scratch(rng: Rng, scene: Scene, strength: float) -> Array:
    """Score one to three thin lines into the surface, with a lit edge beside each groove."""
    image = scene.image
    x, y = _spot(rng, scene)
    tone = rng.choice([0.12, 0.9]) if rng.random() < 0.7 else 0.5
    heading = rng.uniform(0, 2 * np.pi)
    for _ in range(int(rng.integers(1, 4))):
        path = _path(rng, 0, 0, _extent(rng, 0.12, 0.6), 16, 0.05)
        c, s = np.cos(heading + rng.normal(0, 0.15)), np.sin(heading + rng.normal(0, 0.15))
        path = path @ np.array([[c, s], [-s, c]]) + (x, y) + rng.normal(0, 0.02, 2)
        width = _extent(rng, 0.006, 0.018) * np.sin(np.linspace(0.25, np.pi - 0.25, 16))
        groove = stroke(scene.size, path, width) * scene.region
        lit = stroke(scene.size, path + 0.008, width * 0.6) * scene.region
        image = blend(image, np.clip(image * 1.25 + 0.12, 0, 1), 0.6 * strength * lit)
        image = blend(image, np.full(3, tone, np.float32), np.clip(strength * 0.9, 0, 1) * groove)
    return image


def crack(rng: Rng, scene: Scene, strength: float) -> Array:
    """Draw a dark jagged line that tapers and may branch."""
    x, y = _spot(rng, scene)
    trunk = _jagged(rng, x, y, _extent(rng, 0.15, 0.7), 18)
    base = _extent(rng, 0.008, 0.024)
    line = stroke(scene.size, trunk, base * np.linspace(1.0, 0.35, 18))
    for _ in range(int(rng.integers(0, 4))):
        root = trunk[int(rng.integers(4, 14))]
        branch = _jagged(rng, 0, 0, _extent(rng, 0.08, 0.25), 9)
        line = np.maximum(line, stroke(scene.size, branch - branch[0] + root, base * np.linspace(0.7, 0.25, 9)))
    line = line * scene.region
    gape = np.asarray(scene.image * 0.25, np.float32)
    image = blend(
        scene.image, np.clip(scene.image * 1.2 + 0.06, 0, 1), 0.5 * strength * blur(line, 0.006) * scene.region
    )
    return blend(image, gape, np.clip(0.95 * strength, 0, 1) * line)


def stain(rng: Rng, scene: Scene, strength: float) -> Array:
    """Spill a liquid that soaks in or dries on: the texture stays visible, and the rim is often darker."""
    x, y = _spot(rng, scene)
    radius = _extent(rng, 0.05, 0.2)
    patch = _blob(rng, scene, x, y, radius, 0.5, rng.uniform(0.08, 0.5)) * scene.region
    dye = warm(rng, (0.1, 0.55)) if rng.random() < 0.45 else _contrasting(rng, scene, patch, 0.25)
    rim = np.clip(patch - blur(patch, 0.2 * radius), 0, 1) * rng.choice([0.0, 1.2])
    soaked = np.asarray(scene.image * (0.35 + 0.65 * dye) * 0.45 + dye * 0.4, np.float32)
    return blend(scene.image, soaked, np.clip(strength * (0.85 * patch + rim), 0, 1))


def hole(rng: Rng, scene: Scene, strength: float) -> Array:
    """Take material away: what lies behind shows, with a lit and a shaded rim."""
    x, y = _spot(rng, scene, 0.05)
    radius = _extent(rng, 0.025, 0.09)
    gap = _blob(rng, scene, x, y, radius, rng.uniform(0.0, 0.4), 0.1) * scene.region
    behind = scene.backdrop * (0.3 if rng.random() < 0.6 else 0.6)
    wall = relief(blur(gap, 0.012), rng.uniform(0, 2 * np.pi)) * 0.02
    image = scene.image * np.clip(1 + strength * wall, 0.5, 1.6)[..., None]
    return blend(np.asarray(image, np.float32), np.asarray(behind, np.float32), np.clip(1.2 * strength, 0, 1) * gap)


def dent(rng: Rng, scene: Scene, strength: float) -> Array:
    """Push the surface in: light and shade change and the pattern bends, but colours stay."""
    x, y = _spot(rng, scene, 0.06)
    radius = _extent(rng, 0.05, 0.14)
    px, py = grid(scene.size)
    slim, angle = rng.uniform(0.5, 1.0), rng.uniform(0, np.pi)
    dx, dy = px - np.float32(x), py - np.float32(y)
    c, s = np.cos(angle), np.sin(angle)
    bowl = np.exp(-(((dx * c + dy * s) / radius) ** 2 + ((dy * c - dx * s) / (radius * slim)) ** 2) * 1.6).astype(
        np.float32
    )
    shade = relief(bowl, rng.uniform(0, 2 * np.pi)) * np.float32(radius * 0.75 * strength)
    pinch = np.float32(0.35 * strength * scene.size) * bowl
    moved = _moved(scene.image, -dx * pinch, -dy * pinch)
    lit = (
        moved * np.clip(1 + shade - 0.12 * strength * bowl, 0.25, 1.9)[..., None]
        + 0.12 * np.clip(shade, 0, 1)[..., None]
    )
    return blend(scene.image, np.asarray(lit, np.float32), scene.region)


def _moved(image: Array, dx: Array, dy: Array) -> Array:
    """Resample an image with displacements in pixels."""
    size = image.shape[0]
    columns, rows = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    moved = cv2.remap(image, columns + dx, rows + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.float32)


def deformation(rng: Rng, scene: Scene, strength: float) -> Array:
    """Push a part of the product sideways: straight or regular lines bend."""
    x, y = _spot(rng, scene, 0.02)
    radius, angle = rng.uniform(0.08, 0.16), rng.uniform(0, 2 * np.pi)
    px, py = grid(scene.size)
    bump = np.exp(-((px - x) ** 2 + (py - y) ** 2) / (radius * radius)).astype(np.float32)
    push = np.float32(rng.uniform(0.05, 0.09) * min(strength + 0.3, 1.6) * scene.size)
    return _moved(scene.image, push * np.float32(np.cos(angle)) * bump, push * np.float32(np.sin(angle)) * bump)


def contamination(rng: Rng, scene: Scene, strength: float) -> Array:
    """Put foreign matter on the product: grains, a fibre or a dab of paint, with a small shadow."""
    size, (x, y) = scene.size, _spot(rng, scene)
    kind = rng.random()
    if kind < 0.4:
        cover: Array = np.zeros((size, size), np.float32)
        for _ in range(int(rng.integers(1, 5))):
            gx, gy = np.array([x, y]) + rng.normal(0, 0.05, 2)
            corners = int(rng.integers(5, 9))
            t = np.sort(rng.uniform(0, 2 * np.pi, corners))
            reach = _extent(rng, 0.012, 0.045) * rng.uniform(0.6, 1.2, corners)
            cover = np.maximum(cover, fill(size, [np.stack([gx + reach * np.cos(t), gy + reach * np.sin(t)], 1)]))
    elif kind < 0.65:
        cover = stroke(size, _path(rng, x, y, _extent(rng, 0.2, 0.6), 24, 0.35), _extent(rng, 0.007, 0.016))
    else:
        cover = _blob(rng, scene, x, y, _extent(rng, 0.03, 0.12), 0.7, 0.1)
        for _ in range(int(rng.integers(0, 4))):
            gx, gy = np.array([x, y]) + rng.normal(0, 0.09, 2)
            cover = np.maximum(cover, _blob(rng, scene, gx, gy, _extent(rng, 0.012, 0.03), 0.3, 0.2))
    cover = cover * scene.region
    matter = _contrasting(rng, scene, cover, 0.3)
    gloss = 1 + 0.015 * relief(blur(cover, 0.01), rng.uniform(0, 2 * np.pi))
    shadow = blur(np.roll(cover, (max(1, size // 64), max(1, size // 64)), axis=(0, 1)), 0.008) * scene.region
    image = scene.image * (1 - 0.35 * strength * shadow)[..., None]
    paint = np.clip(matter * np.clip(gloss, 0.7, 1.5)[..., None], 0, 1)
    return blend(np.asarray(image, np.float32), paint, np.clip(strength, 0, 1) * cover)


def discoloration(rng: Rng, scene: Scene, strength: float) -> Array:
    """Fade, darken or recolour a wide area with a soft border."""
    x, y = _spot(rng, scene)
    patch = _blob(rng, scene, x, y, _extent(rng, 0.1, 0.3), 0.5, rng.uniform(0.3, 0.8)) * scene.region
    way = rng.random()
    if way < 0.35:
        changed = scene.image * np.float32(rng.uniform(0.35, 0.6))
    elif way < 0.6:
        changed = np.clip(scene.image * np.float32(0.6) + np.float32(0.42), 0, 1)
    else:
        gains = rng.permutation(np.array([rng.uniform(0.35, 0.6), rng.uniform(0.8, 1.0), rng.uniform(1.05, 1.35)]))
        changed = scene.image * gains.astype(np.float32)
    return blend(scene.image, np.asarray(changed, np.float32), np.clip(strength, 0, 1) * patch)


def broken_edge(rng: Rng, scene: Scene, strength: float) -> Array:
    """Break a piece off the outline of the product; the fracture face is rough and lighter."""
    outline = np.flatnonzero((scene.region > 0.5) & (cv2.erode(scene.region, np.ones((3, 3), np.uint8)) < 0.5))
    place = int(outline[int(rng.random() * len(outline))])
    x, y = (place % scene.size + 0.5) / scene.size, (place // scene.size + 0.5) / scene.size
    radius = _extent(rng, 0.04, 0.13)
    bite = _blob(rng, scene, x, y, radius, 0.5, 0.1)
    face = np.clip(blur(bite, 0.012) * 2, 0, 1) * scene.region * np.float32(rng.uniform(0.4, 1.0))
    rough = np.clip(scene.image * 0.7 + 0.2, 0, 1) * (1 + 0.15 * noise(rng, scene.size, 48))[..., None]
    image = blend(scene.image, np.asarray(rough, np.float32), face)
    shown = np.broadcast_to(scene.backdrop, scene.image.shape)
    return blend(image, np.asarray(shown, np.float32), bite * scene.region)


DAMAGES: dict[str, Damage] = {
    "scratch": scratch,
    "crack": crack,
    "stain": stain,
    "hole": hole,
    "dent": dent,
    "deformation": deformation,
    "contamination": contamination,
    "discoloration": discoloration,
    "broken_edge": broken_edge,
}
