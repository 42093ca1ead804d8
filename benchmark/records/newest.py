"""Choose among results of one method with several settings: those that were run last count."""

import json
from collections.abc import Sequence
from pathlib import Path

from .result import Result

FileAndResult = tuple[Path, Result]


def newest(results: Sequence[FileAndResult]) -> tuple[list[FileAndResult], list[str]]:
    """Keep the results of the settings that were run last, with all their seeds, of each method, source and target.

    Returns:
        The results to keep, by path, and a sentence about each method of which older results are left out.
    """
    by_place: dict[tuple[str, str, str, str], dict[str, list[FileAndResult]]] = {}
    for path, result in results:
        place = (result.backbone, result.method, result.source, result.target)
        by_place.setdefault(place, {}).setdefault(_settings_without_seed(result), []).append((path, result))
    kept: list[FileAndResult] = []
    left_out: dict[tuple[str, str], list[Path]] = {}
    for (backbone, method, _, _), by_settings in by_place.items():
        *older, latest = sorted(by_settings.values(), key=lambda group: max(map(_age, group)))
        kept += latest
        left_out.setdefault((backbone, method), []).extend(path for group in older for path, _ in group)
    notices = [
        f"{method} with backbone {backbone} was run with several settings: the newest are shown, and "
        f"{len(paths)} older results are not, such as {paths[0]}; move them away, or give the methods different names."
        for (backbone, method), paths in left_out.items()
        if paths
    ]
    return sorted(kept, key=lambda each: each[0]), notices


def _settings_without_seed(result: Result) -> str:
    training = {name: value for name, value in result.settings.get("training", {}).items() if name != "seed"}
    return json.dumps({**result.settings, "training": training}, sort_keys=True, default=str)


def _age(file_and_result: FileAndResult) -> tuple[str, float]:
    """Return when a result was last added to: the date of its runs, which early versions lack, then the file's time."""
    path, result = file_and_result
    return max((run.get("date", "") for run in result.runs), default=""), path.stat().st_mtime
