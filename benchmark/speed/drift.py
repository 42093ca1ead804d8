"""Measure how far lower precision moves scores, maps and image AUROC."""

import tempfile
from typing import Any

import torch
from anomalib.engine import Engine
from lightning.pytorch import seed_everything
from sklearn.metrics import roc_auc_score

from anomalib_cops import CoPS

from .synthetic_data import synthetic_data
from .training import ENGINE


def measure_drift(images: int) -> dict[str, float]:
    """Compare CoPS on the tiny backbone in float32 and under bfloat16 autocast, on the CPU.

    Args:
        images: Number of images of the auxiliary set, and of the target.

    Returns:
        The largest differences of scores and maps, the image AUROC in float32, and its change.
    """
    with tempfile.TemporaryDirectory() as folder:
        seed_everything(0, verbose=False)
        model = CoPS(backbone="tiny", visualizer=False, post_processor=False, evaluator=False)
        data = synthetic_data(images)
        Engine(default_root_dir=folder, max_epochs=2, **ENGINE).fit(model, datamodule=data)
        data.setup("test")
        exact, rough, labels = [], [], []
        size = model.clip.image_size
        model.eval()
        loader: Any = data.test_dataloader()
        for batch in loader:
            pictures = model.pre_processor(batch.image)
            assert pictures.shape[-1] == size
            exact.append(model.model(pictures))
            with torch.autocast("cpu", torch.bfloat16):
                rough.append(model.model(pictures))
            labels.append(batch.gt_label)
    scores = [torch.cat([each.pred_score.float() for each in outputs]) for outputs in (exact, rough)]
    maps = [torch.cat([each.anomaly_map.float() for each in outputs]) for outputs in (exact, rough)]
    aurocs = [roc_auc_score(torch.cat(labels), each) for each in scores]
    return {
        "images": len(scores[0]),
        "score": float((scores[0] - scores[1]).abs().max()),
        "map": float((maps[0] - maps[1]).abs().max()),
        "image_auroc": float(aurocs[0]),
        "image_auroc_change": float(aurocs[1] - aurocs[0]),
    }
