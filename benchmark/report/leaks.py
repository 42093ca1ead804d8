"""Refuse results that were tested on what they were trained on."""

from pathlib import Path

from anomalib_cops.errors import InputError

from ..own_models import is_own_model
from ..plan.names import BETWEEN_SOURCES, last_name
from ..records.result import Result


def refuse_leak(path: Path, result: Result) -> None:
    """Refuse a result that was tested on a category that it was trained on.

    Args:
        path: File of the result, for the message.
        result: The result.

    Raises:
        InputError: Source and target are the same data set, and a category is trained on and tested.
    """
    tested = set(result.categories)
    for name, categories in _trained_on(result):
        if name != last_name(str(result.settings.get("target"))):
            continue
        if shared := sorted(tested & categories if categories else tested):
            raise InputError(
                f"{path} was trained and tested on the same data ({name}: {', '.join(shared)}), which is not "
                "zero-shot; move it away."
            )


def _trained_on(result: Result) -> list[tuple[str, set[str]]]:
    """Return the names of data sets with the categories that were trained on; an empty set means all categories."""
    settings = result.settings.get("training", {})
    if ready := settings.get("resolved", {}).get("weights"):
        return [(each["set"], set(each["categories"])) for each in ready["trained_on"]]
    weights = settings.get("options", {}).get("weights")
    if weights and is_own_model(result.model):
        # Written by a version that did not record what weights were trained on. Imports torch, so only here.
        from anomalib_cops.weights.published import PUBLISHED

        published = PUBLISHED[result.model].get(str(weights))
        return [(name, set()) for name in published.trained_on] if published else []
    if result.training is None or not result.training.images:
        return []
    sources = str(settings.get("source")).split(BETWEEN_SOURCES)
    return [(last_name(source), set(result.training.categories)) for source in sources]
