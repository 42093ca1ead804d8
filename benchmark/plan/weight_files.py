"""Find and fetch the files of weights that a run needs before it starts: encoders and published checkpoints."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from anomalib_cops.encoder.download import is_cached
from anomalib_cops.encoder.load import TINY, find_weights
from anomalib_cops.errors import InputError
from anomalib_cops.models.assembly import DEFAULT_BACKBONE, DEFAULT_PRETRAINED
from anomalib_cops.weights import download, published

from ..own_models import is_own_model
from .cells import Training


def fetch_weights(trainings: Sequence[Training]) -> dict[str, list[str]]:
    """Fetch all files of weights that models are made of, each once.

    Returns:
        Sentences about files that could not be fetched, by the fingerprint of the training that needs them.
    """
    problems: dict[tuple[str, str], str] = {}
    of_trainings: dict[str, list[str]] = {}
    for training in trainings:
        for owner_and_name in _needed(training):
            if owner_and_name not in problems:
                problems[owner_and_name] = _fetch(*owner_and_name)
            if problems[owner_and_name]:
                of_trainings.setdefault(training.fingerprint, []).append(problems[owner_and_name])
    return of_trainings


def missing_weights(trainings: Sequence[Training]) -> list[str]:
    """Return a sentence about each file of weights that is not on this disk; fetch nothing."""
    needed = dict.fromkeys(each for training in trainings for each in _needed(training))
    return [sentence for owner, name in needed if (sentence := _missing(owner, name))]


def _needed(training: Training) -> Iterator[tuple[str, str]]:
    """Yield the owner and the name of each file: a backbone and its tag, or a model and its published checkpoint."""
    if not is_own_model(training.model):
        return
    options = training.options
    backbone = options.get("backbone") or DEFAULT_BACKBONE
    if backbone != TINY:
        yield backbone, str(options.get("pretrained") or DEFAULT_PRETRAINED)
    name = options.get("weights")
    if name and published.find(training.model, name) is not None:
        yield training.model, name


def _fetch(owner: str, name: str) -> str:
    """Fetch a file if it is not on this disk; return why it could not be had, or nothing."""
    try:
        if is_own_model(owner):
            download.fetch(owner, name)
        else:
            find_weights(owner, name)
    except InputError as error:
        return str(error)
    return ""


def _missing(owner: str, name: str) -> str:
    if not is_own_model(owner):
        is_here = Path(name).expanduser().is_file() or is_cached(owner, name)
        return "" if is_here else f"The weights '{name}' of backbone '{owner}' are not here; a run downloads them."
    entry, path = published.PUBLISHED[owner][name], download.cached_path(owner, name)
    if path.is_file():
        return ""
    how = "a run downloads them" if entry.fetchable else f"get the file {entry.by_hand} and save it as {path}"
    return f"The weights '{name}' of {owner} are not here; {how}."
