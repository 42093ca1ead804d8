"""Run a Lightning module of this package on pictures, outside of a trainer."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from anomalib_cops.data.good_images import with_content_of
from anomalib_cops.errors import InputError, nearest
from anomalib_cops.host.label_threshold import thresholds_of
from anomalib_cops.host.reference_checks import warn_of_references
from anomalib_cops.inference.pictures import Picture
from anomalib_cops.inference.prediction import EXACT, Backend, Prediction, named_precision
from anomalib_cops.registry import MODELS
from anomalib_cops.thresholds import Thresholds
from anomalib_cops.version import __version__
from anomalib_cops.weights.format import CHECKPOINT_KEY, CHECKPOINT_SUFFIX, WEIGHT_SUFFIX

TRUST = "TRUST_REMOTE_CODE"
"""Environment variable by which anomalib, too, is told to load pickled models."""
TORCH_SUFFIX = ".pt"


class LightningBackend(Backend):
    """A Lightning module of this package.

    Args:
        module: the module.
        device: torch's name of a device; by default the first graphics card if there is one, else the processor.
        precision: one of :data:`PRECISIONS`.

    Raises:
        InputError: it is of another package, has no trained weights, or the device is not there.
    """

    def __init__(self, module: Any, device: str | None = None, precision: str = EXACT) -> None:
        if isinstance(module, type) and hasattr(module, "predict_images"):
            raise InputError(
                f"{module.__name__} is a class; give its name '{module.__name__}', or a module made of it."
            )
        if not hasattr(module, "predict_images"):
            raise InputError(f"{type(module).__name__} is none of the models of anomalib-cops; give one of those.")
        if not module.has_trained_weights:
            raise InputError(
                f"{type(module).__name__} has no trained weights, so its scores would mean nothing; give weights."
            )
        try:
            self.module = module.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"The device '{device}' cannot be used ({reason}); give another, such as cpu.") from None
        self._precision = precision
        with self._rounding():
            module.load_due_references()

    @property
    def thresholds(self) -> Thresholds:
        """The module's own thresholds."""
        return thresholds_of(self.module)

    @property
    def settings(self) -> dict[str, Any]:
        """Method, encoder, settings, digest of everything that was trained or remembered, and tiles."""
        module = self.module
        digest = hashlib.sha256()
        for name, value in sorted({**module.trained_state(), **module.memory_state()}.items()):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        return {
            "method": type(module).__name__,
            "version": __version__,
            "weights": digest.hexdigest(),
            "encoder": module.clip.identity.digest or module.clip.name,
            "image_size": module.clip.image_size,
            "settings": module.settings_data,
            "thresholds": [
                None if each.isnan() else float(each) for each in getattr(module.post_processor, "thresholds", ())
            ],
            "tiles": module.tiles,
            **named_precision(self._precision),
        }

    @property
    def input_size(self) -> tuple[int, int] | None:
        """What the module's own pre-processor resizes to; None with tiles or another pre-processor."""
        return getattr(self.module.pre_processor, "input_size", None)

    def predict(self, pictures: Sequence[Picture]) -> list[Prediction]:
        """Score pictures as ``anomalib predict`` does; warn of files that are references as well."""
        references = self.module.references
        if references is not None:
            warn_of_references(with_content_of([each.name for each in pictures], references.contents))
        with self._rounding():
            found = self.module.predict_images([torch.from_numpy(each.planes) for each in pictures])
        return [
            Prediction(float(each.pred_score), each.anomaly_map[0].float().cpu().numpy().squeeze()) for each in found
        ]

    def _rounding(self) -> AbstractContextManager[Any]:
        """Compute products as Lightning does in this precision."""
        if self._precision == EXACT:
            return nullcontext()
        return torch.autocast(self.module.device.type, torch.bfloat16)


def load_module(model: str, weights: Any, **arguments: Any) -> Any:
    """Make the Lightning module that a user names.

    Args:
        model: name of a method; or a weight file, a checkpoint, or a pickled export, which say their method.
        weights: as of the method's constructor; only with the name of a method.
        arguments: of the method's constructor.

    Raises:
        InputError: there is no such method or file, or it cannot be read.
    """
    path = Path(model).expanduser()
    if model in MODELS:
        return MODELS[model].lightning_class(weights=None if weights is None else str(weights), **arguments)
    if path.suffix not in (WEIGHT_SUFFIX, CHECKPOINT_SUFFIX, TORCH_SUFFIX) and os.sep not in model:
        raise InputError(f"'{model}' is neither a method nor a file of a model{nearest(model, MODELS)}")
    if not path.is_file():
        raise InputError(f"The model {path} does not exist; check its path.")
    if weights is not None:
        raise InputError(
            f"weights='{weights}' is given besides the file {path}; give the name of a method, or no weights."
        )
    if path.suffix == TORCH_SUFFIX:
        return _unpickled(path, arguments)
    method = _method_of(path)
    if method not in MODELS:
        raise InputError(f"{path} was not saved by anomalib-cops; give a file of {', '.join(MODELS)}.")
    return MODELS[method].lightning_class(weights=str(path), **arguments)


def _method_of(path: Path) -> str:
    """Return the method that a weight file or a checkpoint names; empty if it names none."""
    try:
        if path.suffix == CHECKPOINT_SUFFIX:
            content = torch.load(path, map_location="cpu", weights_only=True)
            return str(content.get(CHECKPOINT_KEY, {}).get("method", ""))
        with safe_open(path, framework="pt") as opened:
            return str((opened.metadata() or {}).get("method", ""))
    except (SafetensorError, OSError, AttributeError):
        raise InputError(f"{path} is not a readable file of a model; save it again.") from None
    except Exception:
        raise InputError(f"{path} is corrupted or holds pickled code, which is refused; train again.") from None


def _unpickled(path: Path, arguments: dict[str, Any]) -> Any:
    """Load a module that ``anomalib export --export_type torch`` pickled; that runs code from the file."""
    if os.environ.get(TRUST, "0").lower() not in ("1", "true"):
        raise InputError(
            f"{path} is a pickle, and loading it runs code from it; if you trust its source, set the environment "
            f"variable {TRUST}=1, as anomalib asks for too, or give a weight file (save_weights) instead."
        )
    if arguments:
        raise InputError(f"{path} holds a finished model, which takes no {next(iter(arguments))}; leave it out.")
    try:
        return torch.load(path, map_location="cpu", weights_only=False)["model"]
    except Exception as error:  # pickles raise errors of any kind
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{path} is no model that anomalib exported ({reason}); export it again.") from None
