"""Find and fetch the weights that anomalib's own models download when they are made.

Left to themselves, some of them try for a minute where there is no network, and end in errors of several kinds.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from anomalib.models.image.winclip import torch_model as winclip
from huggingface_hub import constants as hub
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from timm.models import get_pretrained_cfg

from anomalib_cops.encoder.download import is_cached
from anomalib_cops.encoder.load import find_weights
from anomalib_cops.errors import InputError
from anomalib_cops.network import unreachable

from .cells import Training
from .model_class import model_class

TIMM_FILES = ("model.safetensors", "pytorch_model.bin")
"""File names that timm looks for in a hub repository, in this order."""


@dataclass(frozen=True)
class ForeignWeights:
    """Weights of a network that a model of others is made of.

    Attributes:
        library: The library that loads them: open_clip or timm.
        network: The library's name of the network.
        tag: The library's name of the weights; empty for timm, where the network's name includes it.
    """

    library: str
    network: str
    tag: str = ""

    def __str__(self) -> str:
        """Name them as messages do."""
        tag = f"'{self.tag}' " if self.tag else ""
        return f"weights {tag}of {self.library}'s {self.network}"

    @property
    def is_here(self) -> bool:
        """Whether they are on this disk."""
        if self.library == "open_clip":
            return is_cached(self.network, self.tag)
        repository = _timm_repository(self.network)
        return not repository or any(isinstance(try_to_load_from_cache(repository, name), str) for name in TIMM_FILES)

    def missing(self) -> str:
        """Say that they are not on this disk; empty if they are."""
        return "" if self.is_here else f"The {self} are not here; a run downloads them."

    def fetch(self) -> str:
        """Fetch them if they are not on this disk; return why they could not be had, or nothing."""
        if self.is_here:
            return ""
        try:
            _check_hub()
            if self.library == "open_clip":
                self._fetch_clip()
            else:
                self._fetch_timm()
        except Exception as error:  # the libraries raise errors of several kinds
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            return f"The {self} could not be fetched ({reason}); connect once, or leave the method out by --methods."
        return ""

    def _fetch_clip(self) -> None:
        find_weights(self.network, self.tag)

    def _fetch_timm(self) -> None:
        repository, (first, second) = _timm_repository(self.network), TIMM_FILES
        try:
            hf_hub_download(repository, first)
        except Exception:  # as timm does: not every repository has the newer format
            hf_hub_download(repository, second)


def foreign_weights(training: Training) -> Iterator[ForeignWeights]:
    """Yield the weights that a model of anomalib downloads, as far as they are known."""
    cls, settings = model_class(training.model), training.resolved.get("settings", {})
    if cls.__module__.startswith("anomalib.models.image.winclip"):
        yield ForeignWeights("open_clip", winclip.BACKBONE, winclip.PRETRAINED)
    elif cls.__module__.startswith("anomalib.") and settings.get("pre_trained") and settings.get("backbone"):
        yield ForeignWeights("timm", str(settings["backbone"]))


def _timm_repository(network: str) -> str:
    """Return the hub repository of a network; empty if timm does not know it or gets its weights elsewhere."""
    entry = get_pretrained_cfg(network)
    return str(entry.hf_hub_id or "") if entry else ""


def _check_hub() -> None:
    """Raise ``InputError`` at once if the hub cannot be asked."""
    if hub.HF_HUB_OFFLINE:
        raise InputError("nothing is downloaded, as HF_HUB_OFFLINE is set")
    if problem := unreachable(hub.ENDPOINT):
        raise InputError(f"{hub.ENDPOINT} {problem}")
