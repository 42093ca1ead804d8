"""Results of one row that are of several settings: the newest count."""

import json
from collections.abc import Sequence
from pathlib import Path

from .result import Result


def newest(results: Sequence[tuple[Path, Result]]) -> tuple[list[tuple[Path, Result]], list[str]]:
    """Of results of a row on a target, keep those of the settings that were run last, with all their seeds.

    Returns:
        What is kept, and a sentence about each row of which something is not.
    """
    places: dict[tuple[str, str, str, str], dict[str, list[tuple[Path, Result]]]] = {}
    for path, result in results:
        place = (result.backbone, result.method, result.source, result.target)
        places.setdefault(place, {}).setdefault(_settings_of_all_seeds(result), []).append((path, result))
    kept: list[tuple[Path, Result]] = []
    left: dict[tuple[str, str], list[Path]] = {}
    for place, settings in places.items():
        *others, latest = sorted(settings.values(), key=lambda found: max(map(_age, found)))
        kept += latest
        left.setdefault(place[:2], []).extend(path for found in others for path, _ in found)
    notices = [
        f"{method} with backbone {backbone} was run with several settings: the newest are shown, and "
        f"{len(paths)} older results are not, such as {paths[0]}; move them away, or give the rows different names."
        for (backbone, method), paths in left.items()
        if paths
    ]
    return sorted(kept, key=lambda each: each[0]), notices


def _settings_of_all_seeds(result: Result) -> str:
    training = {name: value for name, value in result.settings.get("training", {}).items() if name != "seed"}
    return json.dumps({**result.settings, "training": training}, sort_keys=True, default=str)


def _age(found: tuple[Path, Result]) -> tuple[str, float]:
    """When a result was last added to: by its date, which results of early versions lack, else by its file's."""
    path, result = found
    return max((run.get("date", "") for run in result.runs), default=""), path.stat().st_mtime
