"""Weights that a row brings instead of a training: which they are, what they have seen, and how they get here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalib_cops.data.seen import Seen, shared_categories
from anomalib_cops.data.sets.find import declared_as
from anomalib_cops.encoder.download import is_cached
from anomalib_cops.encoder.load import TINY, find_weights
from anomalib_cops.errors import InputError
from anomalib_cops.files import sha256
from anomalib_cops.models.assembly import DEFAULT_BACKBONE, DEFAULT_PRETRAINED
from anomalib_cops.plugin import MODELS
from anomalib_cops.weights import published
from anomalib_cops.weights.format import WeightFile, read_weights
from anomalib_cops.weights.official import SUFFIXES

from .cells import Cell, Training, last_name


@dataclass(frozen=True)
class ReadyWeights:
    """Weights that were trained elsewhere.

    Attributes:
        name: As given: that of a published checkpoint, or a path.
        digest: Of the file.
        trained_on: Data sets; those that the configuration names as source where the weights do not say.
        preset: The settings that a published checkpoint was trained with; empty for others.
        file: What our own weight file says; none of others.
    """

    name: str
    digest: str
    trained_on: list[Seen]
    preset: str = ""
    file: WeightFile | None = None

    @property
    def record(self) -> dict[str, Any]:
        """What a result says of them, wherever the file lies."""
        seen = [{"set": each["set"], "categories": list(each["categories"])} for each in self.trained_on]
        return {"digest": self.digest, "trained_on": seen}


def ready_weights(training: Training) -> ReadyWeights | None:
    """The weights among a training's options; none if it has to be done.

    Raises:
        InputError: There is no such file or name, or it holds no weights of this method.
    """
    model, name = training.model, training.options.get("weights")
    if model not in MODELS or not name:
        return None
    known = published.find(model, str(name))
    if known is not None:
        return ReadyWeights(name, known.digest, _sets(known.trained_on), known.preset)
    path = Path(name).expanduser()
    if path.suffix not in SUFFIXES:
        file = read_weights(path, model)
        return ReadyWeights(name, f"sha256:{sha256(path)}", file.trained_on or _stated(training), file=file)
    if not path.is_file():
        raise InputError(f"The weight file {path} does not exist; check the path given as weights.")
    known = published.recognise(model, path)
    if known is not None:
        return ReadyWeights(name, known.digest, _sets(known.trained_on))
    return ReadyWeights(name, f"sha256:{sha256(path)}", _stated(training))


def refuse_seen(cell: Cell, weights: ReadyWeights, target: Seen) -> None:
    """See to it that weights are not tested on what they were trained on.

    Args:
        cell: The test.
        weights: What is tested.
        target: Tested on; known by its name, and where it has fingerprints by its images as well.

    Raises:
        InputError: They were.
    """
    for source in weights.trained_on:
        if shared := shared_categories(source, target):
            raise InputError(
                f"{cell.method} on {cell.target_name}: the weights '{weights.name}' were trained on {source['set']} "
                f"({', '.join(shared[:3])}), so this is not zero-shot; choose another target or other weights."
            )


def canonical(name: str) -> str:
    """The catalogue's name of a data set, or the last part of a folder's path."""
    declared = declared_as(last_name(name))
    return declared.name if declared else last_name(name)


def fetch(trainings: Sequence[Training]) -> dict[str, list[str]]:
    """Have all files of weights on this disk that models are made of, each asked for once.

    Returns:
        Sentences about what could not be had, by the fingerprint of the training that needs it.
    """
    problems: dict[tuple[str, str], str] = {}
    found: dict[str, list[str]] = {}
    for training in trainings:
        for needed in _needed(training):
            if needed not in problems:
                problems[needed] = _problem(*needed)
            if problems[needed]:
                found.setdefault(training.fingerprint, []).append(problems[needed])
    return found


def contradicted(training: Training, weights: ReadyWeights) -> str:
    """Say where weights were trained on something else than the configuration says; empty if not."""
    stated, known = {canonical(each) for each in training.source}, {each["set"] for each in weights.trained_on}
    if stated == known:
        return ""
    return (
        f"The weights '{weights.name}' of {training.model} were trained on {' + '.join(sorted(known))}, and not on "
        f"{' + '.join(sorted(stated))}, which the configuration names as source; tables say the former."
    )


def absent(trainings: Sequence[Training]) -> list[str]:
    """Sentences about files of weights that are not on this disk; nothing is fetched."""
    needed = dict.fromkeys(each for training in trainings for each in _needed(training))
    return [sentence for each in needed if (sentence := _absence(*each))]


def _needed(training: Training) -> Iterator[tuple[str, str]]:
    """Names of files: of an encoder, or of a published checkpoint of a model."""
    if training.model not in MODELS:
        return
    options = training.options
    backbone = options.get("backbone") or DEFAULT_BACKBONE
    if backbone != TINY:
        yield backbone, str(options.get("pretrained") or DEFAULT_PRETRAINED)
    name = options.get("weights")
    if name and published.find(training.model, name) is not None:
        yield training.model, name


def _problem(owner: str, name: str) -> str:
    try:
        if owner in MODELS:
            published.fetch(owner, name)
        else:
            find_weights(owner, name)
    except InputError as error:
        return str(error)
    return ""


def _absence(owner: str, name: str) -> str:
    if owner not in MODELS:
        here = Path(name).expanduser().is_file() or is_cached(owner, name)
        return "" if here else f"The weights '{name}' of backbone '{owner}' are not here; a run downloads them."
    entry, path = published.PUBLISHED[owner][name], published.cached_path(owner, name)
    if path.is_file():
        return ""
    how = "a run downloads them" if entry.fetchable else f"get the file {entry.by_hand} and save it as {path}"
    return f"The weights '{name}' of {owner} are not here; {how}."


def _sets(names: Sequence[str]) -> list[Seen]:
    return [{"set": name, "categories": []} for name in names]


def _stated(training: Training) -> list[Seen]:
    """What the configuration says that weights were trained on."""
    return [{"set": canonical(each), "categories": list(training.source_categories)} for each in training.source]
