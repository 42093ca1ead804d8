"""A warning of anomalib that is not true of these models."""

import logging
import sys
from typing import Any

_ENGINE = "anomalib.engine.engine"
_UNTRUE = "ckpt_path is not provided. Model weights will not be loaded."


class _UntrueOfTrainedModels(logging.Filter):
    """Drops ``Engine.predict``'s warning about weights that are not loaded, if the model has trained ones."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg != _UNTRUE or not getattr(_predicting_model(), "has_trained_weights", False)


def _predicting_model() -> Any:
    """The model that ``Engine.predict`` is called with or has; the record does not tell, so the call is asked."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == _ENGINE and frame.f_code.co_name == "predict":
            model, engine = frame.f_locals.get("model"), frame.f_locals["self"]
            return model or engine.model
        frame = frame.f_back  # type: ignore[assignment]
    return None


_FILTER = _UntrueOfTrainedModels()


def hide_untrue_warning() -> None:
    """Let anomalib say that it loads no weights only where the model has none; calling it again changes nothing."""
    logging.getLogger(_ENGINE).addFilter(_FILTER)
