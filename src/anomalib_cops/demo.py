"""Demonstrate CoPS offline: learn prompts, test them on categories never seen, and improve them by a few good images.

Prompts are learned on synthetic categories and tested on other categories and on photographs of solar cells. Then the
same photographs are tested once more, compared with 8 good ones, and labelled by a calibrated threshold.

``python -m anomalib_cops.demo`` needs the ``demo`` extra and no network. It uses the embedded tiny CLIP, a stand-in for
development: its figures show that the system works, not how accurate CoPS is.
"""

import argparse
import json
import logging
import os
import platform
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from anomalib.engine import Engine
from lightning.pytorch import seed_everything
from torch.utils.data import DataLoader

from anomalib_cops import CoPS, ZeroShotTransfer
from anomalib_cops.data import LabelledImages
from anomalib_cops.errors import exit_code
from anomalib_cops.example_grid import draw_example_grid
from anomalib_cops.files import write_json, write_text
from anomalib_cops.solar_cells import (
    CALIBRATION,
    FALSE_ALARM_RATE,
    REFERENCES,
    divide,
    few_shot_figures,
    solar_cells,
)

METRICS = {
    "image_AUROC": "I-AUROC",
    "image_AUPR": "I-AP",
    "image_F1Max": "I-F1max",
    "pixel_AUROC": "P-AUROC",
    "pixel_AUPR": "P-AP",
    "pixel_AUPRO": "AUPRO",
}
LABEL = "tiny CLIP stand-in"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo from the command line and return its exit code."""
    options = parse(arguments)
    return exit_code(lambda: run(options))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the demo's command line."""
    parser = argparse.ArgumentParser(prog="python -m anomalib_cops.demo", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("results/demo"), help="folder of all results")
    parser.add_argument("--folders", type=Path, nargs="*", default=[], help="further targets: good/defect/mask folders")
    parser.add_argument("--samples", type=int, default=100, help="synthetic images per category")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-elpv", action="store_true", help="leave the solar cells out")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> pd.DataFrame:
    """Train, test, write all results, and print the table and the paths of the results.

    Returns:
        One row per target: its number of images and its metrics in [0, 1], NaN where undefined.
    """
    started = time.monotonic()
    for noisy in ("anomalib", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    seed_everything(options.seed)
    # The paper averages over 5 x 5 of 37 x 37 patches. Of the tiny CLIP's 10 x 10 patches that would be a quarter.
    model = CoPS(backbone="tiny", neighbourhood=1, epochs=options.epochs, seed=options.seed, visualizer=False)
    data = ZeroShotTransfer(
        target=["synthetic", *map(str, options.folders)],
        synthetic_samples=options.samples,
        synthetic_size=model.clip.image_size,
        train_batch_size=16,
        num_workers=0,
        seed=options.seed,
    )
    engine = Engine(default_root_dir=options.output / "anomalib", logger=False, accelerator="auto", devices=1)
    engine.fit(model, datamodule=data)
    weights = model.save_weights(options.output / "cops.safetensors")

    targets = dict(data.target_datasets)
    cells = {} if options.no_elpv else {name: divide(part, options.seed) for name, part in solar_cells().items()}
    targets |= {name: part.test for name, part in cells.items()}
    rows, examples = [], []
    for name, dataset in targets.items():
        print(f"\n{name}, {len(dataset)} images")
        dataset.augmentations = model.pre_processor.transform.transforms[0]
        figures = engine.test(model, dataloaders=loader(dataset), verbose=False)[0]
        rows.append({"target": name, "images": len(dataset)} | {v: figures.get(k) for k, v in METRICS.items()})
        examples.append((name, examples_of(model, dataset)))
    table = with_means(pd.DataFrame(rows).set_index("target"))
    few_shot = {}
    for name, part in cells.items():
        print(f"\n{name}, compared with {REFERENCES} good images, labels calibrated on {CALIBRATION} others")
        model.load_references(part.references)
        model.calibrate(part.calibration, FALSE_ALARM_RATE)
        figures = few_shot_figures(engine, model, loader(part.test))
        few_shot[name] = {METRICS.get(key, key): value for key, value in figures.items()}
        few_shot[name] |= {"images": len(part.test), "zero-shot I-AUROC": float(table.loc[name, "I-AUROC"])}
        examples.append((f"{name}\n{REFERENCES} references", examples_of(model, part.test)))
    grid = draw_example_grid(
        examples, options.output / "sheet.png", title=f"CoPS on synthetic categories ({LABEL})", clip=model.clip
    )
    write_results(table, few_shot, options, seconds=time.monotonic() - started)
    print(f"\nCoPS, zero-shot, {LABEL}, seed {options.seed}\n{table.to_string(float_format='%.3f', na_rep='-')}\n")
    if few_shot:
        compared = pd.DataFrame.from_dict(few_shot, orient="index").rename_axis("target")
        print(f"With {REFERENCES} good images of each target\n{compared.to_string(float_format='%.3f')}\n")
    print(f"pictures    {grid}\nfigures     {options.output / 'results.json'}, {options.output / 'results.csv'}")
    print(f"prompts     {weights}\nfinished in {time.monotonic() - started:.0f} s")
    return table


def with_means(table: pd.DataFrame) -> pd.DataFrame:
    """Add a row with the mean over categories for every data set that has several."""
    sets = table.groupby([name.split("/")[0] for name in table.index])
    means = sets.agg({"images": "sum"} | dict.fromkeys(METRICS.values(), "mean"))[sets.size() > 1]
    means.index = [f"{name}, mean of {sets.size()[name]}" for name in means.index]
    return pd.concat([table, means]).rename_axis("target")


def loader(dataset: LabelledImages) -> DataLoader:
    """Load a target in batches, in the order of its table."""
    return DataLoader(dataset, batch_size=32, collate_fn=dataset.collate_fn)


def examples_of(model: Any, dataset: LabelledImages, each: int = 3) -> list[Any]:
    """Predict the first normal and the first anomalous images of a target as anomalib's loops do.

    Args:
        model: Lightning module with trained prompts.
        dataset: images and labels of the target.
        each: number of normal images, and of anomalous ones.

    Returns:
        One ``ImageItem`` per image, normal ones first.
    """
    labels = dataset.samples.label_index.to_numpy()
    chosen = [*(labels == 0).nonzero()[0][:each], *(labels == 1).nonzero()[0][:each]]
    batch = dataset.collate_fn([dataset[int(index)] for index in chosen])
    batch.image, batch.gt_mask = model.pre_processor.transform(batch.image, batch.gt_mask)
    batch.update(**model.model.eval()(batch.image, **model.extra_inputs(batch))._asdict())
    model.post_processor.post_process_batch(batch)
    return list(batch.items)


def write_results(table: pd.DataFrame, few_shot: dict[str, Any], options: argparse.Namespace, seconds: float) -> None:
    """Write the figures and how they were made, as JSON and CSV; each file appears complete or not at all."""
    packages = ("anomalib", "torch", "open_clip_torch", "anomalib-cops")
    content = {
        "method": "CoPS",
        "backbone": LABEL,
        "source": "synthetic",
        "seed": options.seed,
        "epochs": options.epochs,
        "samples": options.samples,
        "seconds": round(seconds, 1),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "gpu": torch.cuda.is_available()},
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
        "targets": json.loads(table.to_json(orient="index")),
        "few_shot": {
            "references": REFERENCES,
            "calibration": CALIBRATION,
            "false_alarm_rate": FALSE_ALARM_RATE,
            "targets": few_shot,
        },
    }
    write_json(options.output / "results.json", content)
    write_text(options.output / "results.csv", table.to_csv())


if __name__ == "__main__":
    sys.exit(main())
