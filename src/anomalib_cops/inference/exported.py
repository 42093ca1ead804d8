"""Run exported models with ONNX Runtime or OpenVINO; nothing here needs torch, Lightning or anomalib."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anomalib_cops.errors import InputError
from anomalib_cops.files import sha256
from anomalib_cops.graph_record import ENTRY, from_text
from anomalib_cops.images.resizing import resize_planes
from anomalib_cops.inference.pictures import Picture
from anomalib_cops.inference.prediction import EXACT, Backend, Prediction, named_precision
from anomalib_cops.openvino_graph import AS_IT_IS, fixed_size, round_to_bfloat16
from anomalib_cops.openvino_import import openvino_core
from anomalib_cops.thresholds import Thresholds
from anomalib_cops.tiles import parse_tiles, score_in_tiles

SUFFIXES = (".onnx", ".xml")
_SCORE, _MAP = "pred_score", "anomaly_map"
Planes = npt.NDArray[np.float32]


class ExportedModel(Backend):
    """A graph that takes images (batch 3 height width) in [0, 1] and returns scores and maps, with thresholds applied.

    Args:
        path: the graph.
        tiles: how to cut images, as the argument of models; by default as the export's record says.
        batch_size: number of tiles to score at a time.
        precision: one of :data:`PRECISIONS`.

    Raises:
        InputError: the file is missing or no graph of an anomaly detector, its package is missing, or tiles do not go
            with the references that the graph holds.
    """

    def __init__(self, path: Path, tiles: str | int | None, batch_size: int, precision: str) -> None:
        if not path.is_file():
            raise InputError(f"The model {path} does not exist; check its path.")
        self.path = path
        self._batch_size = batch_size
        self._precision = precision
        self.record = self._load()
        self._tiling = parse_tiles(self.record.get("tiles") if tiles is None else tiles)
        if self._tiling is not None and self.record.get("references"):
            raise InputError(
                f"{path} holds reference images as a whole, and tiles='{self._tiling.text}' would compare tiles with "
                "them; score with the weight file, or export without references."
            )

    @abstractmethod
    def _load(self) -> dict[str, Any]:
        """Load the graph, and return the record of its export."""

    @abstractmethod
    def _run(self, images: Planes) -> dict[str, npt.NDArray[Any]]:
        """Run the graph on images (batch 3 height width), and return its outputs by name."""

    @property
    @abstractmethod
    def fixed_size(self) -> tuple[int, int] | None:
        """Height and width of the images that the graph takes; None for any."""

    @property
    def tiles(self) -> str:
        """The tiling in use as users write it; empty for whole images."""
        return self._tiling.text if self._tiling else ""

    @property
    def thresholds(self) -> Thresholds:
        """What the graph's scores are compared with; that of anomalib for graphs without a record."""
        known = Thresholds(**self.record.get("thresholds", {}))
        if self.tiles == self.record.get("tiles", ""):
            return known
        return replace(known, calibrated=False, origin="which was found with other tiles")

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Digest of the graph, and tiles."""
        parts = [
            each for each in (self.path, self.path.with_suffix(".bin"), Path(f"{self.path}.data")) if each.is_file()
        ]
        digest = hashlib.sha256("".join(map(sha256, parts)).encode()).hexdigest()
        return {"model": digest, "tiles": self.tiles, **named_precision(self._precision)}

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Size of the graph's input; None with tiles, or if it is not known."""
        return None if self._tiling is not None else self._side

    @property
    def _side(self) -> tuple[int, int] | None:
        side = self.record.get("image_size")
        return self.fixed_size or ((side, side) if side else None)

    def predict(self, pictures: Sequence[Picture]) -> list[Prediction]:
        """Score pictures of any sizes."""
        if self._tiling is None:
            return [Prediction(*each) for each in zip(*self._score([each.planes for each in pictures]), strict=True)]
        return [self._in_tiles(picture.planes) for picture in pictures]

    def _in_tiles(self, planes: Planes) -> Prediction:
        assert self._tiling is not None
        side = self.record.get("image_size") or (self.fixed_size or (0,))[0]
        if not side and self._tiling.text == "auto":
            raise InputError(f"{self.path} does not say the size of its input; give tiles as a size, such as 518.")
        boxes = self._tiling.boxes(planes.shape[1], planes.shape[2], side)
        return Prediction(*score_in_tiles(planes, boxes, self._score, self._score, self._batch_size))

    def _score(self, images: list[Planes]) -> tuple[list[float], list[Planes]]:
        """Score images of any sizes: together if they can be resized to one size, else one by one."""
        size = self._side
        if size is None:
            batches = [image[None] for image in images]
        else:
            # Graphs resize as Pillow does; doing it before lets images of different sizes into one batch.
            batches = [np.stack([each if each.shape[1:] == size else resize_planes(each, size) for each in images])]
        scores: list[float] = []
        maps: list[Planes] = []
        for batch in batches:
            found = self._run(batch)
            if _SCORE not in found or _MAP not in found:
                raise InputError(f"{self.path} returns no {_SCORE} and {_MAP}; give a model that anomalib exported.")
            scores += [float(score) for score in found[_SCORE].reshape(len(batch))]
            maps += list(found[_MAP].reshape(len(batch), *found[_MAP].shape[-2:]).astype(np.float32))
        return scores, maps


class OnnxModel(ExportedModel):
    """A graph in ONNX, run by ONNX Runtime."""

    def __init__(
        self, path: Path, tiles: str | int | None, batch_size: int, device: str | None, precision: str
    ) -> None:
        if precision != EXACT:
            raise InputError(
                f"precision='{precision}' is not for {path}: ONNX Runtime computes in the precision of the export; "
                "export it with float16=True, or to OpenVINO."
            )
        self._device = device
        super().__init__(path, tiles, batch_size, precision)

    def _load(self) -> dict[str, Any]:
        with _needing("onnxruntime", self.path):
            runtime = import_module("onnxruntime")
        known = runtime.get_available_providers()
        wanted = [f"{kind}ExecutionProvider" for kind in _providers(self._device)]
        if self._device and wanted[0] not in known:
            raise InputError(f"onnxruntime has no device '{self._device}' here, only {', '.join(known)}; give another.")
        try:
            self._session = runtime.InferenceSession(
                str(self.path), providers=[each for each in wanted if each in known]
            )
        except Exception as error:  # of the runtime's own types
            raise InputError(
                f"{self.path} is no ONNX model that can be run ({error}); copy it with the file {self.path.name}.data "
                "if the export wrote one, or export it again."
            ) from None
        return from_text(self._session.get_modelmeta().custom_metadata_map.get(ENTRY))

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """Height and width of the images that the graph takes; None for any."""
        height, width = self._session.get_inputs()[0].shape[-2:]
        return (height, width) if isinstance(height, int) and isinstance(width, int) else None

    def _run(self, images: Planes) -> dict[str, npt.NDArray[Any]]:
        names = [each.name for each in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, {self._session.get_inputs()[0].name: images}), strict=True))


class OpenVinoModel(ExportedModel):
    """A graph in OpenVINO's format, run in float32 wherever it holds float32, unless bfloat16 is asked for."""

    def __init__(
        self, path: Path, tiles: str | int | None, batch_size: int, device: str | None, precision: str
    ) -> None:
        self._device = (device or "cpu").upper().replace("CUDA", "GPU")
        super().__init__(path, tiles, batch_size, precision)

    def _load(self) -> dict[str, Any]:
        with _needing("openvino", self.path):
            core = openvino_core()
        try:
            model = core.read_model(self.path)
        except Exception as error:  # RuntimeError with the runtime's own text
            raise InputError(
                f"{self.path} cannot be read by OpenVINO ({_last_line(error)}); copy it with its .bin file, or "
                "export it again."
            ) from None
        if self._precision != EXACT:
            round_to_bfloat16(model)
        try:
            self._compiled = core.compile_model(model, self._device, AS_IT_IS)
        except Exception as error:  # RuntimeError with the runtime's own text
            raise InputError(
                f"{self.path} cannot be run on {self._device} by OpenVINO ({_last_line(error)}); give another device, "
                f"such as cpu (there are {', '.join(core.available_devices)})."
            ) from None
        return from_text(model.get_rt_info(ENTRY).value if model.has_rt_info(ENTRY) else None)

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """Height and width of the images that the graph takes; None for any."""
        return fixed_size(self._compiled)

    def _run(self, images: Planes) -> dict[str, npt.NDArray[Any]]:
        found = self._compiled.create_infer_request().infer([images])
        return {name: value for output, value in found.items() for name in output.get_names()}


def load_exported(
    path: Path, tiles: str | int | None, batch_size: int, device: str | None, precision: str
) -> ExportedModel:
    """Load an exported model by its suffix, ``.onnx`` or ``.xml``.

    Raises:
        InputError: it cannot be run here.
    """
    kind = OnnxModel if path.suffix.lower() == ".onnx" else OpenVinoModel
    return kind(path, tiles, batch_size, device, precision)


def _providers(device: str | None) -> list[str]:
    """Return ONNX Runtime's names of a device; without one, the graphics card if it is there."""
    kind = (device or "").partition(":")[0].lower()
    return {"": ["CUDA", "CPU"], "cpu": ["CPU"], "cuda": ["CUDA"], "gpu": ["CUDA"]}.get(kind, [kind.upper()])


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]


@contextmanager
def _needing(package: str, path: Path) -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise InputError(f"{path} needs {package}; run pip install {package}.") from None
