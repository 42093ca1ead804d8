"""Draw a grid of example predictions: image, true outline, anomaly map and score."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402 (the backend has to be chosen first)
import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from anomalib_cops.encoder import FrozenCLIP  # noqa: E402
from anomalib_cops.files import replacing  # noqa: E402


def draw_example_grid(
    examples: Sequence[tuple[str, Sequence[Any]]], path: Path, *, title: str, clip: FrozenCLIP
) -> Path:
    """Draw one row per target; show each example as its image with the true outline, and its anomaly map beside it.

    Args:
        examples: name of each target, and its predicted ``ImageItem`` objects with images normalised for the encoder.
        path: PNG file to write; it appears complete or not at all.
        title: headline, which should name the backbone.
        clip: the encoder, whose normalisation is undone in the pictures.

    Returns:
        The path.
    """
    columns = max(len(items) for _, items in examples)
    figure, axes = plt.subplots(
        len(examples), 2 * columns, figsize=(2.4 * columns, 1.32 * len(examples) + 0.6), squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for row, (name, items) in zip(axes, examples, strict=True):
        for index, item in enumerate(items):
            _draw_example(row[2 * index], row[2 * index + 1], item, picture(item.image, clip.mean, clip.std))
        row[0].text(-0.08, 0.5, name, rotation=90, va="center", ha="right", fontsize=7, transform=row[0].transAxes)
    figure.suptitle(
        f"{title}\nred outline: truth; heat: anomaly map from 0 to 1; number and word: score and label (threshold 0.5)",
        fontsize=9,
    )
    figure.tight_layout(rect=(0.01, 0, 1, 1 - 0.5 / figure.get_figheight()), pad=0.3)
    with replacing(path) as unfinished:
        figure.savefig(unfinished, dpi=110, format="png")
    plt.close(figure)
    return path


def picture(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Undo the normalisation of an image (3 height width) by channels; return (height width 3) in [0, 1]."""
    means, stds = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
    return (image.cpu().float() * stds + means).clamp(0, 1).permute(1, 2, 0).numpy()


def _draw_example(left: Any, right: Any, item: Any, shown: np.ndarray) -> None:
    left.imshow(shown)
    if item.gt_mask is not None and bool(item.gt_mask.any()):
        left.contour(item.gt_mask.cpu().float().squeeze().numpy(), levels=[0.5], colors="red", linewidths=0.7)
    right.imshow(shown.mean(axis=2), cmap="gray")
    right.imshow(item.anomaly_map.cpu().float().squeeze().numpy(), cmap="inferno", vmin=0, vmax=1, alpha=0.6)
    truth = "" if item.gt_label is None else ("defect " if bool(item.gt_label) else "good ")
    left.set_title(truth, fontsize=6, pad=1)
    said = "" if item.pred_label is None else (" defect" if bool(item.pred_label) else " good")
    right.set_title(f"{float(item.pred_score):.2f}{said}", fontsize=6, pad=1)
