"""Find and fetch the files of weights that a run needs before it starts: encoders and published checkpoints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from anomalib_cops.encoder.download import is_cached
from anomalib_cops.encoder.load import find_weights
from anomalib_cops.encoder.tiny import STAND_INS
from anomalib_cops.errors import InputError
from anomalib_cops.models.assembly import DEFAULT_BACKBONE, DEFAULT_PRETRAINED
from anomalib_cops.weights import download, published

from ..own_models import is_own_model
from .cells import Training
from .foreign_weights import ForeignWeights, foreign_weights


@dataclass(frozen=True)
class OwnWeights:
    """Weights of an encoder or of one of this package's models.

    Attributes:
        owner: Name of the backbone or model.
        name: Name of the weights: a tag, a published checkpoint, or a file.
    """

    owner: str
    name: str

    def fetch(self) -> str:
        """Fetch the file if it is not on this disk; return why it could not be had, or nothing."""
        try:
            if is_own_model(self.owner):
                download.fetch(self.owner, self.name)
            else:
                find_weights(self.owner, self.name)
        except InputError as error:
            return str(error)
        return ""

    def missing(self) -> str:
        """Say that the file is not on this disk; empty if it is."""
        if not is_own_model(self.owner):
            is_here = Path(self.name).expanduser().is_file() or is_cached(self.owner, self.name)
            subject = f"The weights '{self.name}' of backbone '{self.owner}'"
            return "" if is_here else f"{subject} are not here; a run downloads them."
        entry, path = published.PUBLISHED[self.owner][self.name], download.cached_path(self.owner, self.name)
        if path.is_file():
            return ""
        how = "a run downloads them" if entry.fetchable else f"get the file {entry.by_hand} and save it as {path}"
        return f"The weights '{self.name}' of {self.owner} are not here; {how}."


Weights = OwnWeights | ForeignWeights


def fetch_weights(trainings: Sequence[Training]) -> dict[str, list[str]]:
    """Fetch all files of weights that models are made of, each once.

    Returns:
        Sentences about files that could not be fetched, by the fingerprint of the training that needs them.
    """
    problems: dict[Weights, str] = {}
    of_trainings: dict[str, list[str]] = {}
    for training in {each.fingerprint: each for each in trainings}.values():
        for weights in _needed(training):
            if weights not in problems:
                problems[weights] = weights.fetch()
            if problems[weights]:
                of_trainings.setdefault(training.fingerprint, []).append(problems[weights])
    return of_trainings


def missing_weights(trainings: Sequence[Training]) -> list[str]:
    """Return a sentence about each file of weights that is not on this disk; fetch nothing."""
    needed = dict.fromkeys(each for training in trainings for each in _needed(training))
    return [sentence for weights in needed if (sentence := weights.missing())]


def _needed(training: Training) -> Iterator[Weights]:
    """Yield the weights that a model is made of, as far as they have to be fetched."""
    if not is_own_model(training.model):
        yield from foreign_weights(training)
        return
    options = training.options
    backbone = options.get("backbone") or DEFAULT_BACKBONE
    if backbone not in STAND_INS:
        yield OwnWeights(backbone, str(options.get("pretrained") or DEFAULT_PRETRAINED))
    name = options.get("weights")
    if name and published.find(training.model, name) is not None:
        yield OwnWeights(training.model, name)
