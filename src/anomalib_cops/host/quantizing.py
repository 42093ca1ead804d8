"""Quantise the frozen towers of an OpenVINO graph to 8-bit integers by NNCF; all other nodes stay in float32."""

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from anomalib.data import ImageBatch

from anomalib_cops.data.listed_images import listed_images
from anomalib_cops.errors import InputError
from anomalib_cops.host.image_scores import load_image
from anomalib_cops.images.resizing import resize_planes
from anomalib_cops.openvino_graph import exact_names, fixed_size
from anomalib_cops.openvino_import import import_openvino

logger = logging.getLogger(__name__)

MOST_IMAGES = 300
"""Number of images to calibrate with, if there are so many; NNCF's own default."""
Planes = npt.NDArray[np.float32]


def quantize(graph: Any, datamodule: Any) -> Any:
    """Return the graph with quantised towers, calibrated with training and validation images of a datamodule.

    Outliers of transformers are moved from activations into weights first (SmoothQuant). No labels are read.

    Args:
        graph: OpenVINO model.
        datamodule: any of anomalib's; of :class:`ZeroShotTransfer` these are images of the auxiliary set.

    Raises:
        InputError: there is no datamodule, or it has no images to calibrate with.
    """
    nncf = import_openvino("nncf")
    paths = calibration_files(datamodule)
    found = nncf.quantize(graph, _calibration(graph, paths), subset_size=len(paths), **_options(graph))
    logger.info("Quantised with %d images.", len(paths))
    return found


def quantize_with_control(graph: Any, datamodule: Any, metric: Any, max_drop: float) -> Any:
    """Return the graph with quantised towers, of which so much goes back to float32 that a metric drops no further.

    Args:
        graph: OpenVINO model.
        datamodule: any of anomalib's; its labelled validation images decide.
        metric: of anomalib, and better when higher.
        max_drop: largest drop of the metric, in [0, 1].

    Raises:
        InputError: there is no datamodule, its validation images are not of both labels, or ``max_drop`` is out of
            range.
    """
    nncf = import_openvino("nncf")
    if not 0 <= max_drop <= 1:
        raise InputError(f"max_drop={max_drop} must be between 0 and 1, such as 0.01.")
    paths = calibration_files(datamodule)
    batches = list(datamodule.val_dataloader())
    labels = {int(label) for batch in batches if batch.gt_label is not None for label in batch.gt_label}
    if labels != {0, 1}:
        raise InputError(
            "int8_acq compares predictions with labels, and the validation images of "
            f"{type(datamodule).__name__} are not of both labels; give such a datamodule, or take int8_ptq."
        )
    return nncf.quantize_with_accuracy_control(
        graph,
        _calibration(graph, paths),
        nncf.Dataset(batches),
        partial(_value, graph_size=fixed_size(graph), metric=metric),
        max_drop=max_drop,
        subset_size=len(paths),
        **_options(graph),
    )


def _options(graph: Any) -> dict[str, Any]:
    nncf = import_openvino("nncf")
    # Convolutions are the stem, which reads pixels: little work, and a third of what rounding changes on the stand-in.
    # Names of constants and the like, which NNCF does not know, must be no mistake.
    scope = nncf.IgnoredScope(names=sorted(exact_names(graph)), types=["Convolution"], validate=False)
    return {"model_type": nncf.ModelType.TRANSFORMER, "ignored_scope": scope}


def calibration_files(datamodule: Any) -> list[str]:
    """Return the images of a datamodule to calibrate with.

    Raises:
        InputError: there is no datamodule, or it has no such images.
    """
    if datamodule is None:
        raise InputError(
            "Quantisation needs images: add --data ZeroShotTransfer for those of the auxiliary set, or --data "
            "UnlabelledImages --data.images FOLDER for your own."
        )
    datamodule.setup("fit")
    loaders = [datamodule.val_dataloader()]
    if getattr(datamodule, "train_data", None) is not None:
        loaders.append(datamodule.train_dataloader())
    files = sorted(listed_images(loaders))
    if not files:
        raise InputError(f"{type(datamodule).__name__} lists no images to calibrate with; give others.")
    # Spread over the list, which is sorted by category.
    return files[:: -(-len(files) // MOST_IMAGES)]


def _calibration(graph: Any, paths: list[str]) -> Any:
    size = fixed_size(graph)
    return import_openvino("nncf").Dataset(paths, lambda path: _input(load_image(path).numpy(), size))


def _input(image: Planes, size: tuple[int, int] | None) -> Planes:
    return (image if size is None or image.shape[1:] == size else resize_planes(image, size))[None]


def _value(graph: Any, batches: Iterator[Any], graph_size: tuple[int, int] | None, metric: Any) -> float:
    """Return the metric of a compiled graph's predictions, image by image."""
    for batch in batches:
        for image, label in zip(batch.image, batch.gt_label, strict=True):
            found = graph(_input(image.numpy(), graph_size))
            outputs: dict[str, Any] = {
                name: torch.from_numpy(np.asarray(found[name]))
                for name in ("pred_score", "pred_label", "anomaly_map", "pred_mask")
            }
            metric.update(ImageBatch(image=image[None], gt_label=label[None], **outputs))
    value = float(metric.compute())
    metric.reset()
    return value
