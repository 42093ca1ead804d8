"""``Predictor``: a picture in, a decision out."""

import logging
import os
import threading
from collections.abc import Collection, Sequence
from numbers import Integral
from pathlib import Path
from types import TracebackType
from typing import Any, overload

from anomalib_cops.errors import InputError
from anomalib_cops.inference.exported import SUFFIXES, load_exported
from anomalib_cops.inference.pictures import to_picture
from anomalib_cops.inference.prediction import PRECISIONS, Backend
from anomalib_cops.inference.result import Result
from anomalib_cops.thresholds import LabelThreshold, Thresholds

logger = logging.getLogger(__name__)


class Predictor:
    """Score pictures with a model, without a trainer.

    The scores are those of ``anomalib predict``. Threads may share a predictor: they read pictures side by side and use
    the model in turn. Processes cannot share one; make one in each. An exported model needs neither torch nor anomalib.

    Args:
        model: a file of a trained model (``*.safetensors``, ``*.ckpt``), an exported model (``*.onnx``, ``*.xml``,
            ``*.pt``), the name of a method, such as "CoPS", or a Lightning module of this package.
        weights: trained prompts for the method that ``model`` names: a file, or the name of published weights.
        references: folder or list of good images of the target to compare with.
        tiles: how to cut large images into tiles: "auto", a grid such as "3x4", a size such as 512; "none" for whole
            images. By default as the model's references and thresholds were made.
        device: such as "cpu" or "cuda", or a torch.device; by default the first graphics card if there is one, else the
            processor.
        batch_size: number of pictures, or tiles, that go through the model at a time. 1 gives the scores of
            ``anomalib predict`` to the last bit; other sizes are rounded in another way.
        max_pixels: largest number of pixels of a file; by default Pillow's limit, about 179 million.
        precision: Lightning's name of the precision of the frozen towers' products: "32-true", or "bf16-mixed" for
            bfloat16, which is faster on processors and cards that have it. Scores and maps are computed in float32.
        arguments: further arguments of the method's constructor, such as ``class_name``.

    Raises:
        InputError: the model cannot be loaded, or an argument does not go with it.

    Example:
        >>> from anomalib_cops import Predictor
        >>> detector = Predictor("cops.safetensors", references="./good")
        >>> result = detector("part.jpg")
        >>> result.score, result.label, [region.box for region in result.regions]
    """

    def __init__(
        self,
        model: Any,
        *,
        weights: str | Path | None = None,
        references: str | Path | Sequence[str | Path] | None = None,
        tiles: str | int | None = None,
        device: Any = None,
        batch_size: int = 1,
        max_pixels: int | None = None,
        precision: str = "32-true",
        **arguments: Any,
    ) -> None:
        if precision not in PRECISIONS:
            raise InputError(f"precision='{precision}' must be {' or '.join(PRECISIONS)}.")
        for name, value in {"batch_size": batch_size, "max_pixels": 1 if max_pixels is None else max_pixels}.items():
            if not isinstance(value, Integral) or value < 1:
                raise InputError(f"{name}={value} must be a whole number of at least 1.")
        _check_references(references)
        device = None if device is None else str(device).lower()  # torch.device, too
        self.batch_size = batch_size
        self.max_pixels = max_pixels
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._has_warned = False
        given = {"weights": weights, "references": references, **arguments}
        self._backend: Backend | None = (
            _exported(Path(model).expanduser(), tiles, batch_size, device, precision, given)
            if isinstance(model, (str, Path)) and Path(model).suffix.lower() in SUFFIXES
            else _lightning(model, tiles, batch_size, device, precision, **given)
        )

    @property
    def thresholds(self) -> Thresholds:
        """What scores and maps are compared with."""
        return self._open().thresholds

    @property
    def settings(self) -> dict[str, Any]:
        """Plain data that decides on the scores: two predictors with equal settings give equal scores."""
        return self._open().settings

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Height and width that every picture is resized to first; None if the model takes them as they are."""
        return self._open().input_size

    @overload
    def __call__(self, images: list[Any]) -> list[Result]: ...

    @overload
    def __call__(self, images: Any) -> Result: ...

    def __call__(self, images: Any) -> Result | list[Result]:
        """Score one picture, or a list of pictures.

        Args:
            images: path, Pillow image, array (height, width, channels) of uint8, uint16 or numbers in [0, 1], torch
                tensor (channels, height, width), or a list of these. Files are turned as their EXIF data say.

        Raises:
            InputError: a picture cannot be used, or the predictor was closed.
        """
        if not isinstance(images, (list, tuple)):
            return self([images])[0]
        self._open()  # before a lock that a thread may have held at a fork
        results: list[Result] = []
        for first in range(0, len(images), self.batch_size):
            pictures = [to_picture(each, self.max_pixels) for each in images[first : first + self.batch_size]]
            with self._lock:
                backend = self._open()
                predictions, thresholds = backend.predict(pictures), backend.thresholds
                self._warn(thresholds.label)
            results += [
                Result(picture, found.score, found.map, thresholds)
                for picture, found in zip(pictures, predictions, strict=True)
            ]
        return results

    def close(self) -> None:
        """Let go of the model."""
        with self._lock:
            self._backend = None

    def __enter__(self) -> "Predictor":
        """Return the predictor, which is closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of the model."""
        self.close()

    def __reduce__(self) -> str:
        """Refuse to be copied or sent to another process."""
        raise InputError("A predictor cannot be copied or pickled; make one in each process.")

    def _open(self) -> Backend:
        if self._backend is None:
            raise InputError("The predictor is closed; make a new one.")
        if os.getpid() != self._process:
            raise InputError(
                "The predictor was made before this process was forked, which the threads of its model do not survive; "
                "make one in each process."
            )
        return self._backend

    def _warn(self, threshold: LabelThreshold | None) -> None:
        if threshold is not None and not threshold.calibrated and not self._has_warned:
            self._has_warned = True
            logger.warning("%s", threshold.uncalibrated("anomalib-cops calibrate --help"))


def _check_references(references: Any) -> None:
    """Refuse what is neither a folder nor a list of files, such as the empty text of a variable that is not set."""
    if references is None or isinstance(references, Path) or (isinstance(references, str) and references):
        return
    if isinstance(references, (str, bytes)) or not isinstance(references, Collection):
        raise InputError(f"references={references!r} is no folder; give a folder or a list of files, or leave it out.")
    kinds = [type(each).__name__ for each in references if not isinstance(each, (str, Path))]
    if kinds:
        raise InputError(f"references holds a {kinds[0]}; give a folder or a list of files.")


def _exported(
    path: Path, tiles: str | int | None, batch_size: int, device: str | None, precision: str, given: dict[str, Any]
) -> Backend:
    """Load an exported model, which takes no further arguments."""
    surplus = [name for name, value in given.items() if value is not None]
    if surplus:
        raise InputError(f"{path} is an exported model, which takes no {surplus[0]}; give it before the export.")
    return load_exported(path, tiles, batch_size, device, precision)


def _lightning(
    model: Any,
    tiles: str | int | None,
    batch_size: int,
    device: str | None,
    precision: str,
    weights: Any = None,
    references: Any = None,
    **arguments: Any,
) -> Backend:
    """Load a Lightning module, or take a ready one."""
    # Exported models run where torch is not installed.
    from anomalib_cops.inference.model import TORCH_SUFFIX, LightningBackend, load_module

    if isinstance(model, (str, Path)):
        if references is not None and Path(model).suffix == TORCH_SUFFIX:
            raise InputError(f"{model} holds a finished model, which takes no references; give them before the export.")
        if isinstance(references, (str, Path)):
            arguments["few_shot_source"] = str(references)
        if tiles is not None:
            arguments["tiles"] = str(tiles)
        if batch_size > 1 and Path(model).suffix != TORCH_SUFFIX:  # a finished model has its own
            arguments.setdefault("tile_batch", batch_size)
        module = load_module(str(model), weights, **arguments)
    elif surplus := [
        name for name, value in {"weights": weights, "tiles": tiles, **arguments}.items() if value is not None
    ]:
        raise InputError(f"{surplus[0]} is an argument of the model's constructor; give it there.")
    else:
        module = model
    if references is not None and "few_shot_source" not in arguments:
        is_folder = isinstance(references, (str, Path))
        module.load_references(references if is_folder else list(references), arguments.get("k_shot", 0))
    return LightningBackend(module, device, precision)
