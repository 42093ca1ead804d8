"""Zero-shot anomaly detection with prompt learning on frozen CLIP, as anomalib models."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from anomalib_cops.registry import MODELS
from anomalib_cops.version import __version__

if TYPE_CHECKING:
    from anomalib_cops.data import UnlabelledImages, ZeroShotTransfer
    from anomalib_cops.errors import InputError
    from anomalib_cops.inference.predictor import Predictor
    from anomalib_cops.models.ada_clip.lightning_model import AdaCLIP
    from anomalib_cops.models.anomaly_clip.lightning_model import AnomalyCLIP
    from anomalib_cops.models.cops.lightning_model import CoPS
    from anomalib_cops.models.linear_probe.lightning_model import LinearProbe
    from anomalib_cops.models.vcp_clip.lightning_model import VCPCLIP


__all__ = [
    "VCPCLIP",
    "AdaCLIP",
    "AnomalyCLIP",
    "CoPS",
    "InputError",
    "LinearProbe",
    "Predictor",
    "UnlabelledImages",
    "ZeroShotTransfer",
    "__version__",
]

_MODULES = {
    **{name: entry.module for name, entry in MODELS.items()},
    "InputError": "anomalib_cops.errors",
    "Predictor": "anomalib_cops.inference.predictor",
    "UnlabelledImages": "anomalib_cops.data",
    "ZeroShotTransfer": "anomalib_cops.data",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, since importing torch and anomalib takes seconds."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
