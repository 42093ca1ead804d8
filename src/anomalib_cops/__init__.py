"""Zero-shot anomaly detection with prompt learning on frozen CLIP, as anomalib models."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anomalib_cops.data import ZeroShotTransfer
    from anomalib_cops.errors import InputError
    from anomalib_cops.models.ada_clip.lightning_model import AdaCLIP
    from anomalib_cops.models.anomaly_clip.lightning_model import AnomalyCLIP
    from anomalib_cops.models.cops.lightning_model import CoPS
    from anomalib_cops.models.vcp_clip.lightning_model import VCPCLIP

__version__ = "0.1.0"
__all__ = ["VCPCLIP", "AdaCLIP", "AnomalyCLIP", "CoPS", "InputError", "ZeroShotTransfer", "__version__"]

_HOMES = {
    "AdaCLIP": "anomalib_cops.models.ada_clip.lightning_model",
    "AnomalyCLIP": "anomalib_cops.models.anomaly_clip.lightning_model",
    "CoPS": "anomalib_cops.models.cops.lightning_model",
    "InputError": "anomalib_cops.errors",
    "VCPCLIP": "anomalib_cops.models.vcp_clip.lightning_model",
    "ZeroShotTransfer": "anomalib_cops.data",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: torch and anomalib take seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Public names."""
    return __all__
