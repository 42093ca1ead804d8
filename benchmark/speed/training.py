"""Speed of training with and without the feature cache, and what lower precision does to scores."""

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from anomalib.engine import Engine
from lightning.pytorch import Callback, seed_everything
from sklearn.metrics import roc_auc_score

from anomalib_cops import CoPS, ZeroShotTransfer

QUIET: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}


class EpochClock(Callback):
    """Seconds and loss of every epoch, validation included."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self._start = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
        """Stop it: Lightning validates before this."""
        self.seconds.append(time.perf_counter() - self._start)
        self.losses.append(float(trainer.callback_metrics["train_loss"]))


def epochs(backbone: str, size: int, images: int, with_cache: int, without: int) -> dict[str, Any]:
    """Train CoPS on random weights of a backbone with and without a cache.

    Args:
        backbone: An open_clip name.
        size: Side of the images in pixels.
        images: Of the auxiliary set.
        with_cache: Epochs with the cache.
        without: Epochs without, fewer as all are alike.
    """
    found: dict[str, Any] = {"backbone": backbone, "image_size": size, "images": images}
    with tempfile.TemporaryDirectory() as folder:
        for name, count, cache in (("cached", with_cache, f"{folder}/features"), ("plain", without, None)):
            seed_everything(0, verbose=False)
            options: dict[str, Any] = {"pretrained": None, "image_size": size, "feature_cache": cache}
            model = CoPS(backbone=backbone, visualizer=False, **options)
            clock = EpochClock()
            engine = Engine(default_root_dir=folder, max_epochs=count, accelerator="cpu", callbacks=[clock], **QUIET)
            engine.fit(model, datamodule=_data(images))
            found[name] = {"seconds": clock.seconds, "losses": clock.losses}
        found["cache_gb"] = sum(path.stat().st_size for path in Path(folder, "features").iterdir()) / 1e9
    return found


def drift(images: int) -> dict[str, float]:
    """How far bfloat16 autocast moves scores and image AUROC of CoPS on the tiny stand-in, on the CPU.

    Args:
        images: Per category of the synthetic set.
    """
    with tempfile.TemporaryDirectory() as folder:
        seed_everything(0, verbose=False)
        model = CoPS(backbone="tiny", visualizer=False, post_processor=False, evaluator=False)
        data = _data(images)
        Engine(default_root_dir=folder, max_epochs=2, accelerator="cpu", **QUIET).fit(model, datamodule=data)
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
    scores = [torch.cat([each.pred_score.float() for each in results]) for results in (exact, rough)]
    maps = [torch.cat([each.anomaly_map.float() for each in results]) for results in (exact, rough)]
    figures = [roc_auc_score(torch.cat(labels), each) for each in scores]
    return {
        "images": len(scores[0]),
        "score": float((scores[0] - scores[1]).abs().max()),
        "map": float((maps[0] - maps[1]).abs().max()),
        "image_auroc": float(figures[0]),
        "image_auroc_change": float(figures[1] - figures[0]),
    }


def _data(images: int) -> ZeroShotTransfer:
    return ZeroShotTransfer(
        source_categories=["leather", "washer"],
        target_categories=["carpet", "screw"],
        synthetic_samples=images // 2,
        num_workers=0,
    )
