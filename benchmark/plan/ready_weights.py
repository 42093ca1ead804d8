"""Identify weights that a method brings instead of a training, and refuse to test them on what they were trained on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalib_cops.data.sets.find import find_declaration
from anomalib_cops.data.train_test_overlap import DataRecord, shared_categories
from anomalib_cops.errors import InputError
from anomalib_cops.files import sha256
from anomalib_cops.weights import download, published
from anomalib_cops.weights.format import read_weights
from anomalib_cops.weights.header import WeightFile
from anomalib_cops.weights.official import SUFFIXES

from ..own_models import is_own_model
from .cells import Cell, Training
from .names import last_name


@dataclass(frozen=True)
class ReadyWeights:
    """Weights that were trained elsewhere.

    Attributes:
        name: Name of a published checkpoint, or path of a file, as the configuration has it.
        digest: Digest of the file.
        trained_on: Data sets that they were trained on; the configuration's source where the weights do not say.
        preset: Preset that a published checkpoint was trained with; empty for other weights.
        file: Content of a weight file of this package; None for official checkpoints.
    """

    name: str
    digest: str
    trained_on: list[DataRecord]
    preset: str = ""
    file: WeightFile | None = None

    @property
    def record(self) -> dict[str, Any]:
        """What a result says of them; it does not depend on where the file is."""
        sets = [{"set": each["set"], "categories": list(each["categories"])} for each in self.trained_on]
        return {"digest": self.digest, "trained_on": sets}


def find_ready_weights(training: Training) -> ReadyWeights | None:
    """Identify the weights among the options of a training; None if there are none, so that it has to be done.

    Raises:
        InputError: There is no such file or published name, or the file holds no weights of this model.
    """
    model, name = training.model, training.options.get("weights")
    if not is_own_model(model) or not name:
        return None
    checkpoint = published.find(model, str(name))
    if checkpoint is not None:
        return ReadyWeights(name, checkpoint.digest, checkpoint.training_data, checkpoint.preset)
    path = Path(name).expanduser()
    if path.suffix not in SUFFIXES:
        file = read_weights(path, model)
        trained_on = file.trained_on or _configured_source(training)
        return ReadyWeights(name, f"sha256:{sha256(path)}", trained_on, file=file)
    if not path.is_file():
        raise InputError(f"The weight file {path} does not exist; check the path given as weights.")
    checkpoint = download.recognise(model, path)
    if checkpoint is not None:
        return ReadyWeights(name, checkpoint.digest, checkpoint.training_data)
    return ReadyWeights(name, f"sha256:{sha256(path)}", _configured_source(training))


def refuse_seen(cell: Cell, weights: ReadyWeights, target: DataRecord) -> None:
    """Refuse to test weights on what they were trained on.

    Args:
        cell: The test.
        weights: The weights that it tests.
        target: The data set that it tests, compared by its name, and by its images where it has fingerprints.

    Raises:
        InputError: The weights were trained on a category of the target.
    """
    for source in weights.trained_on:
        if shared := shared_categories(source, target):
            raise InputError(
                f"{cell.method} on {cell.target_name}: the weights '{weights.name}' were trained on {source['set']} "
                f"({', '.join(shared[:3])}), so this is not zero-shot; choose another target or other weights."
            )


def source_mismatch(training: Training, weights: ReadyWeights) -> str:
    """Say that weights were trained on something other than the configuration's source; empty if they were not."""
    configured = {catalogue_name(each) for each in training.source}
    trained_on = {each["set"] for each in weights.trained_on}
    if configured == trained_on:
        return ""
    return (
        f"The weights '{weights.name}' of {training.model} were trained on {' + '.join(sorted(trained_on))}, and not "
        f"on {' + '.join(sorted(configured))}, which the configuration names as source; tables say the former."
    )


def catalogue_name(name: str) -> str:
    """Return the catalogue's name of a data set, or the last part of a folder's path."""
    declared = find_declaration(last_name(name))
    return declared.name if declared else last_name(name)


def _configured_source(training: Training) -> list[DataRecord]:
    return [{"set": catalogue_name(each), "categories": list(training.source_categories)} for each in training.source]
