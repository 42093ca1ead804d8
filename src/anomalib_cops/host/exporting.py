"""Export models completely or not at all."""

import logging
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from anomalib.deploy import CompressionType

from anomalib_cops.errors import InputError
from anomalib_cops.host.export_record import record_of, write_record
from anomalib_cops.host.onnx_graph import tidy
from anomalib_cops.host.quantizing import calibration_files, quantize, quantize_with_control
from anomalib_cops.openvino_import import import_openvino

# anomalib's export follows in the order of classes; its signatures are not Lightning's.
_Base: Any = object
logger = logging.getLogger(__name__)

OPSET = 18  # torch's own; anomalib asks for 14, to which the graphs cannot be converted


class WholeExportMixin(_Base):
    """Export by anomalib; refuse what cannot be exported before anything is written, and never leave half a file."""

    def check_traceable(self) -> None:
        """Refuse settings that no graph can be made of; methods override this where there are such settings.

        Raises:
            InputError: saying which, and what to set instead.
        """

    def check_graph(self) -> None:
        """Refuse what no graph can hold, and say what the graph leaves to the program that runs it.

        Raises:
            InputError: settings cannot be traced, or references are cut into tiles.
        """
        self.check_traceable()
        self.load_due_references()
        if self.tiles and self.references is not None:
            raise InputError(
                f"A graph scores one image at a time, so it cannot compare tiles='{self.tiles}' with those of the "
                "references; use the weight file, or export without references or without tiles."
            )
        if self.tiles:
            logger.warning(
                "The graph scores what it is given as a whole: Predictor cuts images into tiles='%s' for it, other "
                "programs have to do so themselves.",
                self.tiles,
            )

    def to_torch(self, export_root: Path | str, model_file_name: str = "model") -> Path:
        """Pickle the whole module. Load such a file only if you trust its source."""
        self.load_due_references()
        return _whole(super().to_torch, export_root, model_file_name)

    def to_onnx(
        self,
        export_root: Path | str,
        model_file_name: str = "model",
        input_size: tuple[int, int] | None = None,
        **kwargs: Any,
    ) -> Path:
        """Export to ONNX.

        Args:
            export_root: where ``weights/onnx`` is made.
            model_file_name: without suffix.
            input_size: height and width of the images that the graph takes; any size if not given.
            kwargs: of ``torch.onnx.export``; ``opset_version`` is 18 and ``optimize`` False if not given. Besides,
                ``float16=True`` lets the frozen towers compute in float16, which makes half the file.

        Raises:
            InputError: no graph can be made with the model's settings, or a package is missing.
        """
        self.check_graph()
        _need("onnx", "onnxscript")
        return _whole(
            self._to_tidy_onnx,
            export_root,
            model_file_name,
            input_size,
            record=record_of(self),
            **{"opset_version": OPSET, "optimize": False, **kwargs},
        )

    def _to_tidy_onnx(self, *args: Any, float16: bool = False, **kwargs: Any) -> Path:
        path: Path = super().to_onnx(*args, **kwargs)
        tidy(path, self.runtime_options.float_blocks or (), float16=float16)
        return path

    def to_openvino(
        self,
        export_root: Path | str,
        model_file_name: str = "model",
        input_size: tuple[int, int] | None = None,
        compression_type: str | None = None,
        datamodule: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Path:
        """Export to OpenVINO's format.

        Only the frozen towers are quantised; what leads from their features to scores and maps stays in float32.

        Args:
            export_root: where ``weights/openvino`` is made.
            model_file_name: without suffix.
            input_size: height and width of the images that the graph takes; any size if not given.
            compression_type: "fp16" and "int8" round weights when they are stored, and compute in float32; "int8_ptq"
                quantises the towers; "int8_acq" does so as far as a metric allows.
            datamodule: whose validation images calibrate "int8_ptq" and "int8_acq": those of the auxiliary set with
                :class:`ZeroShotTransfer`, or unlabelled ones.
            args: further ones of anomalib's, such as ``metric`` and ``max_drop`` of "int8_acq".
            kwargs: the same by name.

        Raises:
            InputError: no graph can be made with the model's settings, a package is missing, or there are no images to
                calibrate with.
        """
        self.check_graph()
        kind = None if compression_type is None else CompressionType(compression_type)
        _need("onnx", "onnxscript", "openvino", *([] if kind in (None, CompressionType.FP16) else ["nncf"]))
        if kind in (CompressionType.INT8_PTQ, CompressionType.INT8_ACQ):
            calibration_files(datamodule)  # before minutes are spent on the graph
        import_openvino()  # before anomalib does, for whom it would report the conversion
        arguments = (input_size, compression_type, datamodule, *args)
        return _whole(super().to_openvino, export_root, model_file_name, *arguments, record=record_of(self), **kwargs)

    def _compress_ov_model(
        self,
        model: Any,
        compression_type: Any = None,
        datamodule: Any = None,
        metric: Any = None,
        task: Any = None,
        max_drop: float = 0.01,
    ) -> Any:
        """Quantise for anomalib's export, which would quantise what follows the towers as well."""
        if compression_type == CompressionType.INT8_PTQ:
            return quantize(model, datamodule)
        if compression_type == CompressionType.INT8_ACQ:
            return quantize_with_control(model, datamodule, metric, max_drop)
        return super()._compress_ov_model(model, compression_type, datamodule, metric, task, max_drop)


def _need(*packages: str) -> None:
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise InputError(f"This export needs {' and '.join(missing)}; run pip install '.[export]'.")


def _whole(
    export: Callable[..., Path], root: Path | str, *args: Any, record: dict[str, Any] | None = None, **kwargs: Any
) -> Path:
    """Export to a temporary folder, write a record into the graph, and move the files to their place at the end."""
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".export-", dir=root) as folder:
        made = export(folder, *args, **kwargs)
        if record is not None:
            write_record(made, record)
        for path in made.parent.iterdir():
            final = root / path.relative_to(folder)
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, final)
    return root / made.relative_to(folder)
