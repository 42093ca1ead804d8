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
from ..own_models import own_model_class
from ..plan.configuration import read_matrix
from ..plan.samples import limit_samples
from .precision_ways import EXPORTABLE, REFERENCE, Model, prepare
from .training import ENGINE

METRICS = {"I-AUROC": "delta_i_auroc", "P-AUROC": "delta_p_auroc", "AUPRO": "delta_aupro"}


class Targets:
    """Labelled test images, and the auxiliary set to train on.

    Args:
        images: largest number of test images of a category.
        root: folder with labelled data sets, which are tested besides the synthetic one.

    Attributes:
        data: trains on the auxiliary set, as the configuration ``shots`` does.
        options: arguments of each method there.
        images: test images by ``set/category``.
    """

    def __init__(self, images: int, root: Path | None) -> None:
        configuration = read_matrix("shots")
        settings = configuration.data
        self.options = {each.model: each.options for each in reversed(configuration.methods)}
        self.data = ZeroShotTransfer(
            source="synthetic",
            target=["synthetic", *(discover(root) if root else ())],
            root=None if root is None else str(root),
            synthetic_samples=settings.synthetic_samples,
            synthetic_size=settings.synthetic_size,
            train_batch_size=settings.train_batch_size,
            num_workers=0,
        )
        self.data.setup()
        self.images = {
            key: LabelledImages(limit_samples(each.samples, images), None)
            for key, each in self.data.target_datasets.items()
        }

    @property
    def sets(self) -> list[str]:
        """Names of the data sets."""
        return sorted({_set_of(key) for key in self.images})

    @property
    def count(self) -> int:
        """Number of all images."""
        return sum(map(len, self.images.values()))


def measure_loss(method: str, targets: Targets) -> dict[str, Any]:
    """Compare figures of every way with those of torch in float32.

    Returns:
        For each way the largest change of a score, and the mean change of each metric over the data sets.
    """
    arguments = {"backbone": "tiny", **targets.options[method], **EXPORTABLE.get(method, {})}
    with TemporaryDirectory() as folder:
        seed_everything(0, verbose=False)
        module = own_model_class(method)(**arguments, visualizer=False)
        Engine(default_root_dir=f"{folder}/runs", **ENGINE).fit(module, datamodule=targets.data)
        model = prepare(module, arguments, Path(folder) / "model", targets.data)
        return _compare(model, targets.images)


def _compare(model: Model, targets: Mapping[str, LabelledImages]) -> dict[str, Any]:
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
            by_set[name].setdefault(_set_of(key), []).append(ours[name] - theirs[name])
    return {
        METRICS[name]: statistics.mean(map(statistics.mean, changes.values()))
        for name, changes in by_set.items()
        if changes
    }


def _set_of(key: str) -> str:
    return key.rpartition("/")[0]
