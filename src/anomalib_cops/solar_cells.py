"""The demo's photographs: electroluminescence images of solar cells, with a few good ones as references."""

from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from anomalib.engine import Engine

from anomalib_cops.data import LabelledImages
from anomalib_cops.errors import InputError
from anomalib_cops.host.evaluator import paper_evaluator

REFERENCES, CALIBRATION, TESTED = 8, 40, 300
FALSE_ALARM_RATE = 0.05


@dataclass(frozen=True)
class DividedCells:
    """Images of one type of cell; no image is in two parts.

    Attributes:
        references: files of good images that the model compares with.
        calibration: files of further good images, which thresholds are calibrated on.
        test: images to test on.
    """

    references: list[str]
    calibration: list[str]
    test: LabelledImages


def solar_cells() -> dict[str, LabelledImages]:
    """Return photographs of solar cells by cell type, from the installed package ``elpv-dataset``.

    Cells with a defect probability of 2/3 or 1 count as anomalous. There are no masks (Buerhop-Lutz et al. 2018).

    Raises:
        InputError: the package is not installed.
    """
    if find_spec("elpv_dataset") is None:
        raise InputError("The solar cells come with the package elpv-dataset; run pip install elpv-dataset.")
    folder = Path(str(files("elpv_dataset"))) / "data"
    cells = pd.read_csv(folder / "labels.csv", sep=r"\s+", names=["image", "probability", "kind"])
    defective = cells.probability > 0.5
    samples = pd.DataFrame(
        {
            "image_path": [str(folder / image) for image in cells.image],
            "label": defective.map({True: "defective", False: "good"}),
            "label_index": defective.astype(int),
            "mask_path": "",
            "split": "test",
            "set": "elpv",
            "category": cells.kind,
            "masked": False,
        }
    )
    return {f"elpv/{kind}": LabelledImages(part) for kind, part in samples.groupby("category")}


def divide(cells: LabelledImages, seed: int) -> DividedCells:
    """Draw references, images to calibrate with, and images to test on.

    Args:
        cells: images of one type of cell.
        seed: of the draw.
    """
    drawn = cells.samples.sample(frac=1, random_state=seed)
    good = list(drawn.loc[drawn["label_index"] == 0, "image_path"])
    taken = good[: REFERENCES + CALIBRATION]
    tested = drawn[~drawn["image_path"].isin(taken)].head(TESTED)
    return DividedCells(taken[:REFERENCES], taken[REFERENCES:], LabelledImages(tested))


def few_shot_figures(engine: Engine, model: Any, loader: Any) -> dict[str, float]:
    """Predict a target and return figures of its images in [0, 1], also those at the calibrated threshold.

    Args:
        engine: runs the prediction.
        model: with references and calibrated thresholds.
        loader: labelled images of the target.
    """
    batches: Any = engine.predict(model, dataloaders=loader)
    figures: dict[str, float] = {}
    metrics: Any = paper_evaluator().test_metrics
    for metric in metrics:
        if metric.name.startswith("image_"):
            for batch in batches:
                metric.update(batch)
            figures[metric.name] = float(metric.compute())
    labels = pd.DataFrame(
        {
            "said": [bool(label) for batch in batches for label in batch.pred_label.flatten()],
            "true": [bool(label) for batch in batches for label in batch.gt_label.flatten()],
        }
    )
    said = labels.groupby("true")["said"].mean()
    return figures | {"false alarms": float(said[False]), "recall": float(said[True])}
