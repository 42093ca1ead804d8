"""The ways to run a model that the precision benchmark compares: runtimes and precisions, all by ``Predictor``."""

import contextlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anomalib.deploy import CompressionType

from anomalib_cops import Predictor

from ..own_models import own_model_class

BFLOAT16 = "bf16-mixed"
COMPILED = "torch.compile"
INSIDE = 'torch, runtime="openvino"'


@dataclass(frozen=True)
class Way:
    """A runtime and a precision, as tables name them.

    Attributes:
        runtime: what computes.
        precision: precision of the frozen towers' products.
        file: key of the exported file; empty to run by torch.
        arguments: further arguments of ``Predictor``.
    """

    runtime: str
    precision: str
    file: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the name in tables."""
        return f"{self.runtime}, {self.precision}"


REFERENCE = Way("torch", "float32")
WAYS = (
    REFERENCE,
    Way("torch", "bfloat16", arguments={"precision": BFLOAT16}),
    Way(COMPILED, "float32"),
    Way(INSIDE, "float32", arguments={"runtime": "openvino"}),
    Way(INSIDE, "bfloat16", arguments={"runtime": "openvino", "precision": BFLOAT16}),
    Way("OpenVINO", "float32", "openvino"),
    Way("OpenVINO", "float16 weights", "openvino fp16"),
    Way("OpenVINO", "bfloat16", "openvino fp16", {"precision": BFLOAT16}),
    Way("OpenVINO", "int8 weights", "openvino int8"),
    Way("OpenVINO", "int8", "openvino int8_ptq"),
    Way("ONNX Runtime", "float32", "onnx"),
    Way("ONNX Runtime", "float16", "onnx float16"),
)
COMPRESSIONS = (CompressionType.FP16, CompressionType.INT8, CompressionType.INT8_PTQ)
COMPILED_METHODS = ("CoPS",)
"""To compile a model takes minutes, and most of it is the image tower that all share."""
EXPORTABLE: dict[str, dict[str, Any]] = {"AdaCLIP": {"fusion": False}}
"""Settings with which a graph can be made of a method; all ways run with them, so that they can be compared."""


@dataclass(frozen=True)
class Model:
    """A method with weights, and the files of its exports.

    Attributes:
        method: name.
        arguments: of the method's constructor, ``weights`` among them.
        files: exported files by key.
        splits: whether OpenVINO can run its image tower by itself.
    """

    method: str
    arguments: dict[str, Any]
    files: dict[str, Path]
    splits: bool

    @property
    def ways(self) -> list[Way]:
        """The ways that it can be run in."""
        left_out = {INSIDE} if not self.splits else set()
        if self.method not in COMPILED_METHODS:
            left_out.add(COMPILED)
        return [way for way in WAYS if way.runtime not in left_out]

    def predictor(self, way: Way) -> Predictor:
        """Return a predictor that runs the model in some way."""
        if way.runtime != COMPILED:
            return Predictor(**self.predictor_arguments(way))
        module = own_model_class(self.method)(**self.arguments, visualizer=False)
        module.model.compile(options={"freezing": True})
        return Predictor(module)

    def predictor_arguments(self, way: Way) -> dict[str, Any]:
        """Return the arguments of ``Predictor``, as plain data."""
        if way.file:
            return {"model": str(self.files[way.file]), **way.arguments}
        return {"model": self.method, **self.arguments, **way.arguments}

    def file_mb(self, way: Way) -> float:
        """Return the size of all files that a program needs, in 10^6 bytes."""
        if way.file:
            paths = [path for path in self.files[way.file].parent.iterdir() if path.is_file()]
        else:
            encoder = self.arguments.get("pretrained")  # a file, except that the tiny one is part of the package
            paths = [Path(self.arguments["weights"]), *([Path(encoder)] if encoder else [])]
        return sum(os.path.getsize(path) for path in paths) / 1e6


def prepare(module: Any, arguments: dict[str, Any], folder: Path, datamodule: Any) -> Model:
    """Write the weights of a module and all of its exports.

    Args:
        module: Lightning module of this package.
        arguments: arguments that it was made with.
        folder: where to write.
        datamodule: whose validation images calibrate 8-bit integers.
    """
    folder.mkdir()
    weights = module.save_weights(folder / "weights.safetensors")
    files = export(module, folder, datamodule)
    splits = module.model.frozen_features is not None
    return Model(type(module).__name__, {**arguments, "weights": str(weights)}, files, splits)


def export(module: Any, folder: Path, datamodule: Any) -> dict[str, Path]:
    """Export a Lightning module in all ways.

    Args:
        module: of this package.
        folder: where to write.
        datamodule: whose validation images calibrate 8-bit integers.

    Returns:
        Files by key.
    """
    module.eval()
    files: dict[str, Path] = {}
    # torch's exporter and NNCF report their steps.
    with contextlib.redirect_stdout(io.StringIO()):
        files["onnx"] = module.to_onnx(folder / "onnx")
        files["onnx float16"] = module.to_onnx(folder / "float16", float16=True)
        # All of these begin with the graph that is there already.
        module.to_onnx = lambda *_, **__: files["onnx"]
        for compression in (None, *COMPRESSIONS):
            key = f"openvino {compression.value}" if compression else "openvino"
            files[key] = module.to_openvino(folder / key, compression_type=compression, datamodule=datamodule)
        del module.to_onnx
    return files
