"""Hide a warning of anomalib where it is not true."""

import logging
import sys
from typing import Any

_ENGINE = "anomalib.engine.engine"
_UNTRUE = "ckpt_path is not provided. Model weights will not be loaded."


class _UntrueOfTrainedModels(logging.Filter):
    """Drop the warning of ``Engine.predict`` that no weights are loaded, if the model has trained ones."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg != _UNTRUE or not getattr(_predicting_model(), "has_trained_weights", False)


def _predicting_model() -> Any:
    """Return the model that ``Engine.predict`` uses; look it up in the call, as the log record does not name it."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == _ENGINE and frame.f_code.co_name == "predict":
            model, engine = frame.f_locals.get("model"), frame.f_locals["self"]
            return model or engine.model
        frame = frame.f_back  # type: ignore[assignment]
    return None


_FILTER = _UntrueOfTrainedModels()


def hide_untrue_warning() -> None:
    """Install the filter; calling this again changes nothing."""
    logging.getLogger(_ENGINE).addFilter(_FILTER)
