"""Read result files and check them."""

import json
from pathlib import Path

from anomalib_cops.errors import InputError

from .result import FORMAT, KIND, Result, Scores, TrainingRecord


class DamagedError(InputError):
    """A file is where a result should be, but holds none."""


def read_result(path: Path) -> Result:
    """Read a result file.

    Raises:
        DamagedError: The file holds no complete result.
        InputError: The file cannot be read, or is of another version of the format.
    """
    try:
        content = json.loads(path.read_bytes())
        version = content.pop("format")
        kind = content.pop("kind")
    except OSError as error:
        raise InputError(f"the result {path} cannot be read ({error.strerror}).") from None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise DamagedError(f"{path} is damaged: it is no result file.") from None
    if version not in range(1, FORMAT + 1):
        age = "an older" if isinstance(version, int) and version < FORMAT else "another"
        raise InputError(
            f"{path} was written by {age} version (format {version}, this one reads {FORMAT}); move it away and run "
            "its benchmark again, or read it with the version that wrote it."
        )
    try:
        if kind != KIND:
            raise ValueError(kind)
        training = content.pop("training")
        categories = {name: Scores(**each) for name, each in content.pop("categories").items()}
        result = Result(**content, categories=categories, training=TrainingRecord(**training) if training else None)
        _check(result)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"{path} is damaged: {error!r} where a result was expected.") from None
    return result


def _check(result: Result) -> None:
    """Raise ValueError if a value is no number in [0, 1], or a category names a run that is not there."""
    for name, each in result.categories.items():
        for metric, value in each.scores.items():
            if not isinstance(value, float | int) or not 0 <= value <= 1:
                raise ValueError(f"{metric} of {name} is {value}")
        if each.made_by >= max(1, len(result.runs)):
            raise ValueError(f"{name} was made by run {each.made_by} of {len(result.runs)}")
