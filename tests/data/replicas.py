"""Published data sets in miniature, written as the layouts of their declarations describe them."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import numpy as np

from anomalib_cops.data.sets.anomalib_layout import AnomalibLayout
from anomalib_cops.data.sets.catalog import CATALOG
from anomalib_cops.data.sets.declaration import Declaration, Layout
from anomalib_cops.data.sets.pattern_layout import PatternLayout
from anomalib_cops.data.sets.table_layout import TableLayout
from tests.data.conftest import picture, save, spot

EACH = 2
LAYOUTS = [(each, layout) for each in CATALOG.values() for layout in each.layouts]
NAMES = [f"{each.name}-{number}" for each in CATALOG.values() for number in range(len(each.layouts))]


def build(declared: Declaration, layout: Layout, root: Path) -> Path:
    """Write a data set with two normal and two anomalous images of each category, and return its folder."""
    folder = root / declared.folders[-1]
    numbers = iter(range(10**6))
    for category in declared.categories or (declared.class_name,):
        if isinstance(layout, TableLayout):
            _write_table(declared, layout, folder, category, numbers)
        elif isinstance(layout, PatternLayout):
            _write_files(declared, layout, folder, category, numbers)
        else:
            files = _write_files(declared, layout.layout, folder / layout.inside, category, numbers)
            _help_reader(layout, folder, category, files)
    return folder


def _write_files(
    declared: Declaration, layout: PatternLayout, folder: Path, category: str, numbers: Iterator[int]
) -> list[tuple[Path, Path | None]]:
    files: list[tuple[Path, Path | None]] = []
    for label, pattern in ((0, layout.normal), (1, layout.anomalous)):
        for number in (next(numbers) for _ in range(EACH if pattern else 0)):
            image = folder / _fill(pattern, category, f"{number:03d}")
            _draw(image, number)
            mask = folder / _fill(layout.mask, category, image.stem) if label and layout.mask else None
            if mask:
                mask = mask if mask.suffix else mask.with_name(mask.name + ".png")
                save(mask, spot())
            files.append((image, mask))
    return files


def _fill(pattern: str, category: str, stem: str) -> str:
    *parts, name = pattern.split("/")
    name = name.replace("*", stem) if "{stem}" not in name else name.replace("{stem}", stem)
    name = name if "." in name or "{stem}" in pattern else f"{name}.png"
    path = "/".join([*(part.replace("*", "S0001") for part in parts), name])
    return path.replace("{category}", category).replace("{kind}", "crack")


def _draw(path: Path, number: int) -> None:
    """Write a picture unlike all others."""
    levels = picture(0)
    levels[..., 0], levels[..., 1] = number % 256, number // 256
    levels[:2] = np.arange(10, dtype=np.uint8)[None, :, None] * 20
    save(path, levels)


def _write_table(
    declared: Declaration, layout: TableLayout, folder: Path, category: str, numbers: Iterator[int]
) -> None:
    table = folder / layout.file
    fields = [name for text in (layout.image, layout.mask) for _, name, _, _ in Formatter().parse(text) if name]
    columns = [*(name for name, _ in layout.where), layout.label[0], *fields]
    table.parent.mkdir(parents=True, exist_ok=True)
    new = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow([columns[0], *(f" {column}" for column in columns[1:])])
        for label in (0, 0, 1, 1):
            number = next(numbers)
            entry = {name: value.replace("{category}", category) for name, value in layout.where}
            entry |= {"image": f"{category}/Images/{number:03d}.JPG", "id": str(number)}
            entry |= {"mask": f"{category}/Masks/{number:03d}.png" if label else ""}
            entry[layout.label[0]] = layout.label[1] if label else "normal"
            _draw(folder / layout.image.format(**entry), number)
            if layout.mask and label:
                save(folder / layout.mask.format(**entry), spot() // 128)
            writer.writerow([entry[column] for column in columns])


def _help_reader(layout: AnomalibLayout, folder: Path, category: str, files: list[tuple[Path, Path | None]]) -> None:
    """Write the files that anomalib's readers need besides images and masks."""
    if layout.dataset.__name__ == "KolektorDataset":
        for image, mask in files:
            if not mask:
                save(image.with_name(f"{image.stem}_label.bmp"), np.zeros_like(spot()))
    if layout.dataset.__name__ == "RealIADDataset":
        inside = folder / "realiad_256" / category
        entries = [
            {
                "category": category,
                "anomaly_class": "NG" if mask else "OK",
                "image_path": image.relative_to(inside).as_posix(),
                "mask_path": mask.relative_to(inside).as_posix() if mask else None,
            }
            for image, mask in files
        ]
        path = folder / "realiad_jsons" / "realiad_jsons" / f"{category}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"meta": {}, "train": [], "test": entries}))
