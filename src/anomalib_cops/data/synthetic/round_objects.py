"""Single products with a round outline on a plain ground: cap, washer, gear, button, tablet, bean."""

from collections.abc import Callable

import numpy as np

from anomalib_cops.data.synthetic.canvas import (
    Array,
    Points,
    Pose,
    Real,
    Rng,
    Scene,
    blend,
    blur,
    ellipse,
    fill,
    grey,
    noise,
    profile,
    relief,
    stroke,
    tint,
    warm,
)


def ground(rng: Rng, size: int) -> Array:
    """Paint a plain table: one colour with weak mottling, shape (size, size, 3)."""
    kind = rng.random()
    if kind < 0.35:
        base = grey(rng, (0.75, 0.98))
    elif kind < 0.65:
        base = grey(rng, (0.04, 0.3))
    else:
        base = tint(rng, (0.3, 0.9), (0.2, 0.9))
    mottle = rng.uniform(0.0, 0.04) * noise(rng, size, 6, 3)
    return np.asarray(base * (1 + mottle)[..., None], np.float32)


def solid(table: Array, region: Array, paint: Array, light: float, *, height: float = 0.5, edge: float = 0.02) -> Array:
    """Put a lit body on the table, with a soft shadow beside it and shaded edges; the shape is (size, size, 3)."""
    size = table.shape[0]
    offset = int(round(0.025 * size))
    shift = (int(round(offset * np.sin(light))), int(round(offset * np.cos(light))))
    shadow = blur(np.roll(region, shift, axis=(0, 1)), 0.025)
    image = table * (1 - 0.35 * shadow)[..., None]
    shading = 1 - 0.012 * height * relief(blur(region, edge), light) * -1
    return blend(np.asarray(image, np.float32), paint * np.clip(shading, 0.55, 1.5)[..., None], region)


_SEGMENTS = {1: "bc", 2: "abged", 3: "abgcd", 4: "fgbc", 5: "afgcd", 6: "afgedc", 7: "abc", 8: "abcdefg", 0: "abcdef"}
_LINES = {
    "a": ((0, 0), (1, 0)), "b": ((1, 0), (1, 1)), "c": ((1, 1), (1, 2)), "d": ((0, 2), (1, 2)),
    "e": ((0, 1), (0, 2)), "f": ((0, 0), (0, 1)), "g": ((0, 1), (1, 1)),
}  # fmt: skip


def digits(numbers: list[int], pose: Pose, x: Real, y: Real, height: float, weight: float) -> list[Points]:
    """Return the polygons of seven-segment digits that are centred at the object coordinates (x, y)."""
    polygons = []
    unit = height / 2
    left = x - (len(numbers) * 1.7 - 0.7) * unit / 2
    for place, number in enumerate(numbers):
        for name in _SEGMENTS[number]:
            (x0, y0), (x1, y1) = _LINES[name]
            start = np.array([left + (place * 1.7 + x0) * unit, y + (y0 - 1) * unit])
            end = np.array([left + (place * 1.7 + x1) * unit, y + (y1 - 1) * unit])
            along = (end - start) / np.linalg.norm(end - start) * weight
            side = np.array([-along[1], along[0]])
            corners = [start - along - side, end + along - side, end + along + side, start - along + side]
            polygons.append(pose.place(corners))
    return polygons


def misprinted(fault: Rng, size: int, plain: Array, polygons: list[Points], ink: Array, span: float) -> Array:
    """Print marks wrong: shifted and doubled, partly missing, or smeared; ``span`` is their height in the picture."""
    way = int(fault.integers(0, 3))
    if way == 0:
        shift = fault.choice([-1.0, 1.0], 2) * fault.uniform(0.2, 0.4, 2) * span
        return blend(
            plain, ink, np.maximum(0.8 * fill(size, polygons), 0.8 * fill(size, [p + shift for p in polygons]))
        )
    if way == 1:
        kept = fault.permutation(len(polygons))[: len(polygons) // 2]
        return blend(plain, ink, fill(size, [polygons[i] for i in kept]))
    return blend(plain, ink, np.clip(1.6 * blur(fill(size, polygons), max(0.25 * span, 0.008)), 0, 1))


def bottle_cap(rng: Rng, size: int) -> Scene:
    """Paint a crown cap or screw cap from above: ribbed rim, flat top with a printed star and number."""
    pose = Pose.random(rng, (0.3, 0.46))
    table, light = ground(rng, size), float(rng.uniform(0, 2 * np.pi))
    t = np.linspace(0, 2 * np.pi, 168, endpoint=False)
    teeth = int(rng.choice([21, 24, 28]))
    radius = 1 + 0.035 * np.cos(teeth * t)
    region = fill(size, [pose.place(np.stack([radius * np.cos(t), radius * np.sin(t)], 1))])
    x, y = pose.local(size)
    r, theta = np.hypot(x, y), np.arctan2(y, x)
    rim = np.clip((r - 0.78) * 20, 0, 1)
    lid = tint(rng, (0.35, 0.95), (0.1, 0.9))
    shine = 0.16 * np.cos(teeth * theta) * rim + 0.12 * np.cos(theta - light + pose.angle) * np.clip(
        (r - 0.7) * 9, 0, 1
    )
    groove = -0.25 * np.exp(-(((r - 0.77) / 0.025) ** 2))
    paint = lid * (1 + shine + groove + 0.02 * noise(rng, size, 20))[..., None]
    plain = solid(table, region, np.asarray(paint, np.float32), light)
    ink = np.clip(lid + rng.choice([-1.0, 1.0]) * rng.uniform(0.35, 0.6), 0.03, 0.98).astype(np.float32)
    star = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    spike = np.where(np.arange(10) % 2, 0.13, 0.3)
    marks = [pose.place(np.stack([spike * np.sin(star), -spike * np.cos(star) - 0.25], 1))]
    marks += digits([int(n) for n in rng.integers(0, 9, 3)], pose, 0.0, 0.36, 0.32, 0.028)
    image = blend(plain, ink, fill(size, marks))

    def misprint(fault: Rng) -> Array:
        return misprinted(fault, size, plain, marks, ink, 0.32 * pose.scale)

    def missing(fault: Rng) -> Array:
        return plain if fault.random() < 0.4 else blend(plain, ink, fill(size, marks[1:]))

    return Scene(image, region, table, {"misprint": misprint, "missing_part": missing})


def washer(rng: Rng, size: int) -> Scene:
    """Paint a flat metal ring, turned on a lathe."""
    pose = Pose.random(rng, (0.28, 0.46))
    table, light = ground(rng, size), float(rng.uniform(0, 2 * np.pi))
    bore = rng.uniform(0.4, 0.62)
    x, y = pose.local(size)
    r, theta = np.hypot(x, y), np.arctan2(y, x)
    pixel = 1 / (size * pose.scale)
    region = np.asarray(np.clip((1 - r) / pixel + 0.5, 0, 1) * np.clip((r - bore) / pixel + 0.5, 0, 1), np.float32)
    metal = grey(rng, (0.4, 0.8)) * np.where(rng.random() < 0.25, warm(rng, (0.95, 1.05)), 1.0)
    sheen = (
        0.16 * np.cos(2 * theta + rng.uniform(0, 6)) + 0.06 * profile(rng, r * 0.9, 70) + 0.02 * noise(rng, size, 50)
    )
    paint = np.asarray(metal * (1 + sheen)[..., None], np.float32)
    image = solid(table, region, paint, light, height=0.8, edge=0.012)

    def missing(fault: Rng) -> Array:
        middle, half = fault.uniform(-np.pi, np.pi), fault.uniform(0.12, 0.45)
        away = np.abs(np.mod(theta - middle + np.pi, 2 * np.pi) - np.pi)
        rest = region * np.clip((away - half) * r / pixel, 0, 1)
        return solid(table, np.asarray(rest, np.float32), paint, light, height=0.8, edge=0.012)

    return Scene(image, region, table, {"missing_part": missing})


def gear(rng: Rng, size: int) -> Scene:
    """Paint a spur gear with a bore and lightening holes; a tooth can be missing."""
    pose = Pose.random(rng, (0.3, 0.4))
    table, light = ground(rng, size), float(rng.uniform(0, 2 * np.pi))
    count, depth = int(rng.integers(10, 19)), rng.uniform(0.13, 0.22)
    holes = int(rng.choice([0, 4, 5, 6]))
    material = grey(rng, (0.35, 0.75)) if rng.random() < 0.6 else tint(rng, (0.4, 0.9), (0.2, 0.8))
    x, y = pose.local(size)
    r, theta = np.hypot(x, y), np.arctan2(y, x)
    face = 0.05 * profile(rng, r * 0.8, 40) + 0.08 * np.cos(2 * theta + rng.uniform(0, 6)) + 0.02 * noise(rng, size, 40)
    hub = 0.14 * (r < 0.42) - 0.2 * np.exp(-(((r - 0.43) / 0.02) ** 2))
    paint = np.asarray(material * (1 + face + hub)[..., None], np.float32)
    bore = rng.uniform(0.15, 0.26)

    def outline(lost: tuple[int, ...] = ()) -> Array:
        corners = []
        for tooth in range(count):
            top = 1 - depth if tooth in lost else 1.0
            for part, radius in ((-0.32, 1 - depth), (-0.17, top), (0.17, top), (0.32, 1 - depth)):
                angle = 2 * np.pi * (tooth + part) / count
                corners.append((radius * np.cos(angle), radius * np.sin(angle)))
        body = fill(size, [pose.place(corners)])
        cut = [pose.place(ellipse(0, 0, bore))]
        for hole in range(holes):
            angle = 2 * np.pi * hole / holes
            cut.append(pose.place(ellipse(0.6 * np.cos(angle), 0.6 * np.sin(angle), 0.1)))
        return np.asarray(body * (1 - fill(size, cut)), np.float32)

    region = outline()

    def missing(fault: Rng) -> Array:
        first = int(fault.integers(0, count))
        lost = tuple((first + k) % count for k in range(int(fault.integers(1, 3))))
        return solid(table, outline(lost), paint, light, height=0.7, edge=0.012)

    return Scene(solid(table, region, paint, light, height=0.7, edge=0.012), region, table, {"missing_part": missing})


def button(rng: Rng, size: int) -> Scene:
    """Paint a sewing button with two or four holes; a hole can be missing."""
    pose = Pose.random(rng, (0.27, 0.45))
    table, light = ground(rng, size), float(rng.uniform(0, 2 * np.pi))
    count, ring, radius = int(rng.choice([2, 4])), rng.uniform(0.2, 0.28), rng.uniform(0.08, 0.12)
    x, y = pose.local(size)
    r = np.hypot(x, y)
    dish = 0.22 * np.clip((r - 0.68) * 8, 0, 1) - 0.25 * np.exp(-(((r - 0.66) / 0.04) ** 2))
    marble = rng.uniform(0.02, 0.12) * noise(rng, size, 5, 3)
    paint = np.asarray(tint(rng, (0.3, 0.92), (0.0, 0.8)) * (1 + dish * 0.6 + marble)[..., None], np.float32)
    spots = [(ring * np.cos(a), ring * np.sin(a)) for a in np.arange(count) * 2 * np.pi / count]
    disc = fill(size, [pose.place(ellipse(0, 0, 1))])

    def drilled(kept: list[tuple[float, float]]) -> Array:
        return np.asarray(disc * (1 - fill(size, [pose.place(ellipse(a, b, radius)) for a, b in kept])), np.float32)

    def missing(fault: Rng) -> Array:
        lost = int(fault.integers(0, count))
        return solid(table, drilled(spots[:lost] + spots[lost + 1 :]), paint, light, height=0.8)

    region = drilled(spots)
    return Scene(solid(table, region, paint, light, height=0.8), region, table, {"missing_part": missing})


def tablet(rng: Rng, size: int) -> Scene:
    """Paint a pressed tablet, round or oblong, with a score line or a printed number."""
    pose = Pose.random(rng, (0.27, 0.45))
    table, light = ground(rng, size), float(rng.uniform(0, 2 * np.pi))
    slim = 1.0 if rng.random() < 0.5 else rng.uniform(0.5, 0.7)
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    power = 1.0 if slim == 1.0 else 0.75
    contour = np.stack([np.sign(np.cos(t)) * np.abs(np.cos(t)) ** power, slim * np.sin(t)], 1)
    region = fill(size, [pose.place(contour)])
    coat = tint(rng, (0.7, 0.97), (0.0, 0.2)) if rng.random() < 0.6 else tint(rng, (0.5, 0.95), (0.3, 0.8))
    paint = np.asarray(coat * (1 + 0.025 * noise(rng, size, 40, 2))[..., None], np.float32)
    plain = solid(table, region, paint, light, height=1.2, edge=0.05)
    scored = rng.random() < 0.4
    ink = np.asarray(coat * rng.uniform(0.25, 0.65), np.float32)
    if scored:
        ends = np.array([[0, -0.9 * slim], [0, 0.9 * slim]])

        def score(line: Points) -> Array:
            return blend(plain, ink, 0.7 * region * stroke(size, pose.place(line), 0.06 * pose.scale))

        def off_centre(fault: Rng) -> Array:
            return score(ends + (fault.choice([-1, 1]) * fault.uniform(0.2, 0.45), 0.0))

        return Scene(score(ends), region, table, {"misprint": off_centre})
    height = 0.62 * slim
    marks = digits([int(n) for n in rng.integers(0, 9, int(rng.integers(2, 4)))], pose, 0, 0, height, 0.055 * height)

    def misprint(fault: Rng) -> Array:
        return misprinted(fault, size, plain, marks, ink, height * pose.scale)

    return Scene(blend(plain, ink, fill(size, marks)), region, table, {"misprint": misprint})


def coffee_bean(rng: Rng, size: int) -> Scene:
    """Paint a roasted or pale bean with its crease."""
    pose = Pose.random(rng, (0.28, 0.4))
    table, light = ground(rng, size), float(rng.uniform(0, 2 * np.pi))
    slim, skew = rng.uniform(0.66, 0.92), rng.uniform(-0.15, 0.15)
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    lumps = 1 + 0.03 * np.cos(2 * t + rng.uniform(0, 6)) + 0.02 * np.cos(3 * t + rng.uniform(0, 6))
    region = fill(
        size, [pose.place(np.stack([lumps * np.cos(t), slim * lumps * np.sin(t) * (1 + skew * np.cos(t))], 1))]
    )
    x, y = pose.local(size)
    skin = 0.07 * noise(rng, size, 7, 3) + 0.05 * profile(rng, y * 0.5 + 0.04 * x, 40)
    dome = 0.22 * (
        1
        - np.clip(
            np.hypot(x + 0.25 * np.cos(light - pose.angle), (y / slim) + 0.25 * np.sin(light - pose.angle)), 0, 1.3
        )
        ** 2
    )
    shell = warm(rng, (0.3, 0.9))
    paint = np.asarray(shell * (0.88 + skin + dome)[..., None], np.float32)
    plain = solid(table, region, paint, light, height=0.8, edge=0.05)
    along = np.linspace(-0.85, 0.85, 14)
    bend = rng.uniform(-0.12, 0.12) * np.sin(along * np.pi) + rng.uniform(-0.08, 0.08) * np.cos(along * 2)
    width = 0.07 * pose.scale * np.sqrt(np.clip(1 - (along / 0.88) ** 2, 0.02, 1))
    crease = blur(stroke(size, pose.place(np.stack([along, bend], 1)), width), 0.004)
    return Scene(blend(plain, shell * rng.uniform(0.35, 0.75), 0.85 * crease * region), region, table)


ROUND_OBJECTS: dict[str, Callable[[Rng, int], Scene]] = {
    "bottle_cap": bottle_cap,
    "washer": washer,
    "gear": gear,
    "button": button,
    "tablet": tablet,
    "coffee_bean": coffee_bean,
}
