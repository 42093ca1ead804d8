"""Choose among results of one method with several settings: those that were run last count."""

import json
from collections.abc import Sequence
from pathlib import Path

from .result import Result

FileAndResult = tuple[Path, Result]


def newest(results: Sequence[FileAndResult]) -> tuple[list[FileAndResult], list[str]]:
    """Keep the results of the settings that were run last of each method, source, target and number of references.

    All seeds and draws of references of these settings are kept.

    Returns:
        The results to keep, by path, and a sentence about each method of which older results are left out.
    """
    by_place: dict[tuple[str, str, str, str, int | None], dict[str, list[FileAndResult]]] = {}
    for path, result in results:
        place = (result.backbone, result.method, result.source, result.target, result.shots)
        by_place.setdefault(place, {}).setdefault(_settings_without_seeds(result), []).append((path, result))
    kept: list[FileAndResult] = []
    left_out: dict[tuple[str, str], list[Path]] = {}
    for (backbone, method, *_), by_settings in by_place.items():
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


def _settings_without_seeds(result: Result) -> str:
    """Return the settings as text, without the seed of the training and that of the references."""
    settings = dict(result.settings)
    for name, seed in (("training", "seed"), ("references", "draw")):
        settings[name] = {key: value for key, value in settings.get(name, {}).items() if key != seed}
    return json.dumps(settings, sort_keys=True, default=str)


def _age(file_and_result: FileAndResult) -> tuple[str, float]:
    """Return when a result was last added to: the date of its runs, which early versions lack, then the file's time."""
    path, result = file_and_result
    return max((run.get("date", "") for run in result.runs), default=""), path.stat().st_mtime
