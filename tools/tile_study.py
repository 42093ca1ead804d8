"""Measure what tiles find that whole images do not: ``python -m tools.tile_study``.

Modules of photographed solar cells, 4000 x 3000 pixels, carry a scratch of 30 x 4 pixels or none. AnomalyCLIP with the
tiny CLIP stand-in is trained on synthetic categories and compares with four modules without a scratch. The figures are
written to ``docs/results/tiles.json``, from which ``docs/large-images.md`` is made. It takes about half an hour on 2
cores.
"""

import argparse
import math
import random
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from anomalib.engine import Engine
from PIL import Image, ImageDraw
from sklearn.metrics import roc_auc_score

from anomalib_cops import AnomalyCLIP, Predictor, ZeroShotTransfer
from anomalib_cops.files import write_json
from anomalib_cops.solar_cells import solar_cells
from anomalib_cops.tiles import parse_tiles

RESULT = Path(__file__).resolve().parent.parent / "docs/results/tiles.json"
CELL, LENGTH, WIDTH, DEPTH = 300, 30, 4, 0.6
REFERENCES, SIDE = 4, 120
_FINE, _BOX = 4, 48


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all tilings and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=10, help="pictures with a scratch, and as many without")
    parser.add_argument("--size", type=int, nargs=2, default=(4000, 3000), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--tiles", nargs="*", default=["240", "auto"])
    parser.add_argument("--samples", type=int, default=60, help="pictures per synthetic category to train on")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args(arguments)
    size = tuple(options.size)
    cells = solar_cells()["elpv/mono"].samples
    good = sorted(cells.loc[cells["label_index"] == 0, "image_path"])
    with TemporaryDirectory() as folder:
        weights = train(Path(folder), options.samples)
        references = [Path(folder) / f"{number}.png" for number in range(REFERENCES)]
        for number, path in enumerate(references):
            module_of_cells(good, size, number).save(path)
        rows = []
        for tiles in ("none", *options.tiles):
            rows.append(measure(weights, references, tiles, good, size, options.pictures))
            print(rows[-1], flush=True)
    about = {
        "backbone": "tiny",
        "method": "AnomalyCLIP",
        "size": list(size),
        "scratch": [LENGTH, WIDTH],
        "references": REFERENCES,
        "pictures": 2 * options.pictures,
        "seed": 0,
        "torch": metadata.version("torch"),
    }
    write_json(options.output, about | {"rows": rows})


def train(folder: Path, samples: int) -> Path:
    """Train AnomalyCLIP, the method with the cheapest text, on all synthetic categories; return its weight file."""
    model = AnomalyCLIP(backbone="tiny", epochs=3, seed=0, visualizer=False)
    data = ZeroShotTransfer(
        synthetic_samples=samples, synthetic_size=model.clip.image_size, train_batch_size=16, num_workers=0
    )
    Engine(default_root_dir=folder, logger=False, accelerator="cpu", devices=1).fit(model, data)
    return model.save_weights(folder / "prompts.safetensors")


def measure(
    weights: Path, references: list[Path], tiles: str, good: list[str], size: tuple[int, ...], count: int
) -> dict[str, Any]:
    """Return the image AUROC of one tiling, and how often the highest region lies on the scratch."""
    scores, labels, hits = [], [], 0
    tiling = parse_tiles(tiles)
    with Predictor(weights, references=references, tiles=tiles, batch_size=16, device="cpu") as detector:
        for number in range(count):
            plain = module_of_cells(good, size, 100 + number)
            marked, centre = scratched(module_of_cells(good, size, 500 + number), number)
            for picture, label in ((plain, 0), (marked, 1)):
                result = detector(picture)
                scores.append(result.score)
                labels.append(label)
            row, column = np.unravel_index(result.full_map.argmax(), result.full_map.shape)
            hits += math.dist((column, row), centre) <= LENGTH
    return {
        "tiles": tiles,
        "image_auroc": round(float(roc_auc_score(labels, scores)), 4),
        "found": hits / count,
        "count": len(tiling.boxes(size[1], size[0], SIDE)) if tiling else 0,
    }


def module_of_cells(good: Sequence[str], size: tuple[int, ...], seed: int) -> Image.Image:
    """Lay photographs of good cells side by side, drawn by seed."""
    draw, module = random.Random(seed), Image.new("L", (size[0], size[1]))
    for top in range(0, size[1], CELL):
        for left in range(0, size[0], CELL):
            with Image.open(draw.choice(good)) as cell:
                module.paste(cell.convert("L"), (left, top))
    return module


def scratched(module: Image.Image, seed: int) -> tuple[Image.Image, tuple[float, float]]:
    """Return a picture with a dark scratch of random place and direction, and the centre of the scratch."""
    draw = random.Random(seed)
    x, y = (draw.uniform(_BOX, side - _BOX) for side in module.size)
    angle = draw.uniform(0, math.pi)
    along, across = (math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))
    corners = [
        tuple(_FINE * (_BOX / 2 + a * LENGTH / 2 * along[axis] + b * WIDTH / 2 * across[axis]) for axis in (0, 1))
        for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    stencil = Image.new("L", (_FINE * _BOX, _FINE * _BOX))
    ImageDraw.Draw(stencil).polygon(corners, fill=255)
    share = np.asarray(stencil.resize((_BOX, _BOX), Image.Resampling.BOX), np.float32) / 255
    left, top = int(x - _BOX / 2), int(y - _BOX / 2)
    patch = np.asarray(module.crop((left, top, left + _BOX, top + _BOX)), np.float32) * (1 - DEPTH * share)
    marked = module.copy()
    marked.paste(Image.fromarray(patch.round().astype(np.uint8)), (left, top))
    return marked, (left + _BOX / 2, top + _BOX / 2)


def tile_table(result: dict[str, Any]) -> str:
    """Return the result in Markdown."""
    width, height = result["size"]
    length, thick = result["scratch"]
    lines = [
        f"{result['method']} with the tiny CLIP stand-in on {result['pictures']} pictures of {width} x {height}",
        f"pixels, half of them with a scratch of {length} x {thick} pixels, {result['references']} references, seed",
        f"{result['seed']}; torch {result['torch']}.",
        "*A stand-in: shows what tiles do, not how accurate the method is.*",
        "",
        "| `tiles` | image AUROC | highest point of the map on the scratch | tiles per picture |",
        "|---|---|---|---|",
    ]
    for row in result["rows"]:
        lines.append(f"| `{row['tiles']}` | {row['image_auroc']:.2f} | {100 * row['found']:.0f} % | {row['count']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
