"""Measure what every way to run a model costs in accuracy: trained on the tiny stand-in, tested on labelled images."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from anomalib.engine import Engine
from lightning.pytorch import seed_everything

from anomalib_cops import Predictor, ZeroShotTransfer
from anomalib_cops.data import LabelledImages, discover

from ..measure.metrics import score
from ..measure.outputs import Predictions
from ..own_models import is_own_model, own_model_class
from ..plan.configuration import read_matrix
from ..plan.samples import limit_samples
from .precision_ways import EXPORTABLE, REFERENCE, prepare
from .training import ENGINE

METRICS = {"I-AUROC": "delta_i_auroc", "P-AUROC": "delta_p_auroc", "AUPRO": "delta_aupro"}


def measure_loss(methods: list[str], images: int, root: Path | None) -> dict[str, Any]:
    """Compare figures of every way with those of torch in float32.

    Args:
        methods: names of the methods, which are trained as in the configuration ``quick``.
        images: largest number of test images of a category.
        root: folder with labelled data sets, which are tested besides the synthetic one.

    Returns:
        The data sets, the number of images, and for each method and way the largest change of a score, and the mean
        change of each metric over the data sets.
    """
    configuration = read_matrix("quick")
    options = {each.model: each.options for each in reversed(configuration.methods) if is_own_model(each.model)}
    with TemporaryDirectory() as folder:
        data = _transfer(configuration, root)
        data.setup()
        targets = {
            key: LabelledImages(limit_samples(each.samples, images), None) for key, each in data.target_datasets.items()
        }
        rows = {
            method: _compare(
                method, {"backbone": "tiny", **options[method], **EXPORTABLE.get(method, {})}, data, targets, folder
            )
            for method in methods
        }
    sets = sorted({key.partition("/")[0] for key in targets})
    return {"sets": sets, "images": sum(map(len, targets.values())), "rows": rows}


def _transfer(configuration: Any, root: Path | None) -> ZeroShotTransfer:
    settings = configuration.data
    return ZeroShotTransfer(
        source="synthetic",
        target=["synthetic", *(discover(root) if root else ())],
        synthetic_samples=settings.synthetic_samples,
        synthetic_size=settings.synthetic_size,
        train_batch_size=settings.train_batch_size,
        num_workers=0,
    )


def _compare(
    method: str, arguments: dict[str, Any], data: ZeroShotTransfer, targets: Mapping[str, LabelledImages], folder: str
) -> dict[str, Any]:
    seed_everything(0, verbose=False)
    module = own_model_class(method)(**arguments, visualizer=False)
    Engine(default_root_dir=f"{folder}/runs", **ENGINE).fit(module, datamodule=data)
    model = prepare(module, arguments, Path(folder) / method, data)
    rows: dict[str, Any] = {}
    exact: dict[str, Predictions] = {}
    for way in model.ways:
        with model.predictor(way) as predictor:
            found = {key: _predictions(predictor, images) for key, images in targets.items()}
        exact = found if way == REFERENCE else exact
        rows[str(way)] = {
            "max_delta_score": max(float(abs(found[key].scores - exact[key].scores).max()) for key in targets),
            **_changes(found, exact),
        }
    return rows


def _predictions(predictor: Predictor, images: LabelledImages) -> Predictions:
    scores, labels, maps, masks = [], [], [], []
    for item in (images[index] for index in range(len(images))):
        result = predictor(item.image)
        scores.append(result.score)
        labels.append(int(item.gt_label or 0))
        if item.gt_mask is not None:
            maps.append(result.map)
            mask = item.gt_mask.numpy().squeeze().astype(np.uint8)
            masks.append(cv2.resize(mask, result.map.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(bool))
    has_masks = len(masks) == len(labels)
    return Predictions(
        np.array(scores), np.array(labels), *((np.stack(maps), np.stack(masks)) if has_masks else (None, None))
    )


def _changes(found: Mapping[str, Predictions], exact: Mapping[str, Predictions]) -> dict[str, float]:
    """Return the change of each metric: the mean over data sets of the means over their categories."""
    by_set: dict[str, dict[str, list[float]]] = {name: {} for name in METRICS}
    for key in found:
        ours, theirs = score(found[key]), score(exact[key])
        for name in METRICS.keys() & ours.keys():
            by_set[name].setdefault(key.partition("/")[0], []).append(ours[name] - theirs[name])
    return {
        METRICS[name]: statistics.mean(map(statistics.mean, changes.values()))
        for name, changes in by_set.items()
        if changes
    }
