"""Export models completely or not at all."""

import logging
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from anomalib_cops.errors import InputError
from anomalib_cops.host.export_record import record_of, write_record

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
            kwargs: of ``torch.onnx.export``; ``opset_version`` is 18 if not given.

        Raises:
            InputError: no graph can be made with the model's settings, or a package is missing.
        """
        self.check_graph()
        _need("onnx", "onnxscript")
        return _whole(
            super().to_onnx,
            export_root,
            model_file_name,
            input_size,
            record=record_of(self),
            **{"opset_version": OPSET, **kwargs},
        )

    def to_openvino(self, export_root: Path | str, model_file_name: str = "model", *args: Any, **kwargs: Any) -> Path:
        """Export to OpenVINO's format; arguments as of anomalib's.

        Raises:
            InputError: no graph can be made with the model's settings, or a package is missing.
        """
        self.check_graph()
        _need("onnx", "onnxscript", "openvino")
        return _whole(super().to_openvino, export_root, model_file_name, *args, record=record_of(self), **kwargs)


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
