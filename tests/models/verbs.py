"""Perform every action of the table of capabilities once, on little data."""

import json
from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import torch
import yaml
from anomalib.deploy import TorchInferencer
from anomalib.pipelines import Benchmark
from PIL import Image
from torch import Tensor

from anomalib_cops import Predictor, ZeroShotTransfer
from anomalib_cops.host.calibrate_command import main as calibrate_main
from anomalib_cops.openvino_import import openvino_core
from anomalib_cops.scoring.command import main as score_main
from benchmark import cli
from tests.models.cases import CASES, lightning_class
from tests.models.good_images import write
from tests.models.runs import Trained, engine, predict, transfer
from tools import capabilities as can

Settings = Mapping[str, Any]
Verb = Callable[["Subject", Path, Settings], Tensor | None]


@dataclass(frozen=True)
class Subject:
    """A method that has been trained for one epoch.

    Attributes:
        trained: the model and the results of its training.
        weights: weight file of that training.
        exported: exports the model in a given format, with the settings that this needs.
        images: a folder of pictures of the model's own size.
    """

    trained: Trained
    weights: Path
    exported: Callable[[str], Path]
    images: Path

    def made(self, **settings: Any) -> Any:
        """Return a model with the trained prompts."""
        return lightning_class(self.trained.name)(weights=str(self.weights), visualizer=False, **settings)

    def fresh(self, **settings: Any) -> Any:
        """Return a model to train."""
        return lightning_class(self.trained.name)(backbone="tiny", epochs=1, seed=0, visualizer=False, **settings)

    def scores(self, folder: Path, **settings: Any) -> Tensor:
        """Return the scores of ``predict`` for the pictures, of shape (pictures,)."""
        return _joined(predict(self.made(**settings), folder, self.images))

    def pictures(self) -> np.ndarray:
        """Return the pictures as input of exported models: shape (pictures, 3, height, width), in [0, 1]."""
        levels = [np.asarray(Image.open(path)) for path in sorted(self.images.iterdir())]
        return (np.stack(levels).transpose(0, 3, 1, 2) / 255).astype(np.float32)


def few() -> ZeroShotTransfer:
    """Draw four pictures to train on and four to test on."""
    return transfer(source_categories=["leather"], synthetic_samples=4)


def _joined(batches: Any) -> Tensor:
    return torch.cat([batch.pred_score.flatten() for batch in batches]).float()


def _sound(model: Any) -> None:
    assert all(torch.isfinite(value).all() for value in model.trained_state().values())


def train(subject: Subject, folder: Path, settings: Settings, **trainer: Any) -> None:
    model = subject.fresh(**settings)
    before = {name: value.clone() for name, value in model.trained_state().items()}
    engine(folder, **trainer).fit(model, datamodule=few())
    _sound(model)
    assert any(not torch.equal(value, before[name]) for name, value in model.trained_state().items())
    assert list(folder.rglob("*.safetensors"))


def resume(subject: Subject, folder: Path, settings: Settings) -> None:
    model, run = subject.fresh(**settings), engine(folder, max_epochs=2)
    run.train(model, datamodule=few(), ckpt_path=subject.trained.engine.best_model_path)
    assert run.trainer.current_epoch == 2
    _sound(model)
    before = subject.trained.model.trained_state()
    assert any(not torch.equal(value, before[name]) for name, value in model.trained_state().items())


def validate(subject: Subject, folder: Path, settings: Settings) -> Tensor:
    model = subject.made(**settings)
    before = model.post_processor.image_threshold.clone()
    engine(folder).validate(model, datamodule=transfer())
    assert torch.equal(model.post_processor.image_threshold, before)
    return _joined(predict(model, folder, subject.images))


def test(subject: Subject, folder: Path, settings: Settings, **trainer: Any) -> Tensor:
    model = subject.made(**settings)
    (figures,) = engine(folder, **trainer).test(model, datamodule=few() if trainer else transfer(), verbose=False)
    assert {"image_AUROC", "pixel_AUPRO"} <= set(figures) and np.isfinite(list(figures.values())).all()
    known = {} if trainer else subject.trained.figures
    assert all(value == known[name] for name, value in figures.items() if name in known)
    return _joined(engine(folder, **trainer).predict(model, data_path=subject.images))


def export(subject: Subject, folder: Path, settings: Settings, kind: str) -> Tensor:
    if settings == CASES[subject.trained.name].exportable or kind == "torch":
        path = subject.exported(kind)
    else:
        path = engine(folder).export(subject.made(**settings), kind, export_root=folder)
    return torch.from_numpy(RUNTIMES[kind](path, subject.pictures())).flatten()


def _run_torch(path: Path, pictures: np.ndarray) -> np.ndarray:
    model = TorchInferencer(path, device="cpu").model
    # One by one as in predictions, since rounding in larger batches may change the clusters of AdaCLIP's k-means.
    with torch.no_grad():
        return np.concatenate([model(torch.from_numpy(each)).pred_score.numpy() for each in pictures[:, None]])


def _run_onnx(path: Path, pictures: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path)
    (scores,) = session.run(["pred_score"], {session.get_inputs()[0].name: pictures})
    return scores


def _run_openvino(path: Path, pictures: np.ndarray) -> np.ndarray:
    model = openvino_core().compile_model(path, "CPU", {"EXECUTION_MODE_HINT": "ACCURACY"})
    return np.array(model(pictures)["pred_score"])


RUNTIMES = {"torch": _run_torch, "onnx": _run_onnx, "openvino": _run_openvino}


def host_benchmark(subject: Subject, folder: Path, settings: Settings) -> None:
    few_pictures = {"synthetic_samples": 4, "synthetic_size": 64, "num_workers": 0}
    some = {"source_categories": ["leather"], "target_categories": ["carpet"], **few_pictures}
    model = {"class_path": subject.trained.name, "init_args": {"backbone": "tiny", "epochs": 1, **settings}}
    experiment = {"seed": 0, "model": model, "data": {"class_path": "ZeroShotTransfer", "init_args": some}}
    (folder / "experiment.yaml").write_text(yaml.safe_dump({"accelerator": "cpu", "benchmark": experiment}))
    with chdir(folder):
        Benchmark().run(Namespace(config="experiment.yaml"))
    (path,) = folder.rglob("results.csv")
    assert np.isfinite(pd.read_csv(path)[["image_AUROC", "pixel_AUPRO"]]).all(axis=None)


def own_benchmark(subject: Subject, folder: Path, settings: Settings) -> None:
    matrix = {
        "backbone": "tiny",
        "seeds": [0],
        "data": {"synthetic_samples": 4, "synthetic_size": 64, "num_workers": 0},
        "methods": [{"name": "it", "model": subject.trained.name, "options": {"epochs": 1, **settings}}],
        "transfers": [
            {
                "source": "synthetic",
                "source_categories": ["leather"],
                "targets": ["synthetic"],
                "target_categories": ["carpet"],
            }
        ],
    }
    (folder / "matrix.yaml").write_text(yaml.safe_dump(matrix))
    assert cli.main(["run", str(folder / "matrix.yaml"), "--output", str(folder / "out")]) == 0
    (path,) = (folder / "out/cells").rglob("*.json")
    (category,) = json.loads(path.read_text())["categories"].values()
    assert {"I-AUROC", "AUPRO"} <= set(category["scores"]) and np.isfinite(list(category["scores"].values())).all()


def few_shot(subject: Subject, folder: Path, settings: Settings) -> None:
    model = subject.made(few_shot_source=str(subject.images), **settings)
    write(folder / "parts", 2, first=30)
    scores = _joined(predict(model, folder, folder / "parts"))
    plain = _joined(predict(subject.made(**settings), folder, folder / "parts"))
    assert len(model.references.files) == 3 and not torch.equal(scores, plain)


def calibrate(subject: Subject, folder: Path, settings: Settings) -> None:
    write(folder / "good", 4)
    model, line = ["--model", subject.trained.name, "--model.weights", str(subject.weights)], folder / "l.safetensors"
    assert calibrate_main([*model, "--data", str(folder / "good"), "--output", str(line)]) == 0
    calibrated = lightning_class(subject.trained.name)(weights=str(line), visualizer=False, **settings)
    assert calibrated.calibration.images == 4
    assert not _joined(predict(calibrated, folder, folder / "good")).gt(0.5).any()


def in_tiles(subject: Subject, folder: Path, settings: Settings) -> None:
    (folder / "large").mkdir()
    Image.open(sorted(subject.images.iterdir())[1]).resize((200, 150)).save(folder / "large/x.png")
    (whole,) = predict(subject.made(**settings), folder, folder / "large")
    (tiled,) = predict(subject.made(tiles="auto", **settings), folder, folder / "large")
    assert tiled.anomaly_map.shape[-2:] == (150, 200) and whole.anomaly_map.shape[-2:] == (120, 120)
    assert torch.isfinite(tiled.anomaly_map).all() and tiled.pred_score != whole.pred_score


def predictor(subject: Subject, folder: Path, settings: Settings) -> Tensor:
    detector = Predictor(subject.trained.name, weights=subject.weights, device="cpu", **settings)
    return torch.tensor([result.score for result in detector(sorted(subject.images.iterdir()))])


def score(subject: Subject, folder: Path, settings: Settings) -> Tensor:
    table = folder / "scores.csv"
    model = ["--model", subject.trained.name, "--model.weights", str(subject.weights), "--device", "cpu"]
    given = [f"--model.{name}={value}" for name, value in settings.items()]
    assert score_main([str(subject.images), *model, *given, "--workers", "0", "--output", str(table)]) == 0
    return torch.tensor(pd.read_csv(table)["score"].to_numpy(), dtype=torch.float32)


def without_masks(subject: Subject, folder: Path, settings: Settings) -> None:
    model = subject.fresh(**settings)
    before = {name: value.clone() for name, value in model.trained_state().items()}
    data = transfer(source_categories=["leather"], synthetic_samples=4, masks="none")
    engine(folder).fit(model, datamodule=data)
    assert any(not torch.equal(value, before[name]) for name, value in model.trained_state().items())


def in_precision(verb: Callable[..., Tensor | None], precision: str) -> Verb:
    return lambda subject, folder, settings: verb(subject, folder, settings, precision=precision)


def to_kind(kind: str) -> Verb:
    return lambda subject, folder, settings: export(subject, folder, settings, kind)


VERBS: dict[str, Verb] = {
    can.TRAIN: train,
    can.RESUME: resume,
    can.VALIDATE: validate,
    can.TEST: test,
    can.PREDICT: lambda subject, folder, settings: subject.scores(folder, **settings),
    **{row: to_kind(kind) for kind, row in can.EXPORTS.items()},
    can.FEW_SHOT: few_shot,
    can.CALIBRATE: calibrate,
    can.TILES: in_tiles,
    can.OPENVINO: lambda subject, folder, settings: subject.scores(folder, **settings, runtime="openvino"),
    can.PREDICTOR: predictor,
    can.SCORE: score,
    can.WITHOUT_MASKS: without_masks,
    can.HOST_BENCHMARK: host_benchmark,
    can.BENCHMARK: own_benchmark,
    can.CACHE: lambda subject, folder, settings: train(
        subject, folder, {**settings, "feature_cache": str(folder / "features")}
    ),
    **{row: in_precision(train, precision) for precision, row in can.TRAIN_IN.items()},
    **{row: in_precision(test, precision) for precision, row in can.USE_IN.items()},
}
