"""Find the licences of weights that the installed packages name; nothing is guessed."""

from functools import cache
from typing import Any

import timm

from anomalib_cops.encoder.load import model_config
from anomalib_cops.encoder.tags import entry_of, tags_of

OPENAI = "mit"
"""Licence of https://github.com/openai/CLIP, which publishes the weights of the tag ``openai``."""
UNNAMED = "see model card"


def licences_of(backbone: str) -> dict[str, str]:
    """Return the licence of every pretrained tag of a backbone.

    open_clip names none. timm names one for every file of an image tower. It is taken where open_clip loads a file of
    the same repository, or where the image tower is timm's and all its files of this training have the same licence.
    """
    return {tag: _licence(backbone, tag) for tag in tags_of(backbone)}


def _licence(backbone: str, tag: str) -> str:
    if tag == "openai":
        return OPENAI
    repository = "/".join((entry_of(backbone, tag).get("hf_hub") or "").split("/")[:2])
    if repository in _by_repository():
        return _by_repository()[repository]
    timm_name = model_config(backbone)["vision_cfg"].get("timm_model_name")
    if not timm_name:
        return UNNAMED
    files = timm.list_pretrained(f"{timm_name}.*")
    of_this_training = [each for each in files if tag in each] or files
    found = {_entry_of(each).license for each in of_this_training}
    return (found.pop() or UNNAMED) if len(found) == 1 else UNNAMED


def _entry_of(name: str) -> Any:
    """Return timm's entry of a file of weights, which it gives for every name that it lists."""
    return timm.models.get_pretrained_cfg(name)


@cache
def _by_repository() -> dict[str, str]:
    """Return the licence that timm names for each of the hub's repositories of its weights."""
    found = {}
    for name in timm.list_pretrained():
        entry = _entry_of(name)
        if entry.hf_hub_id and entry.license:
            found[f"{entry.hf_hub_id}{name}" if entry.hf_hub_id.endswith("/") else entry.hf_hub_id] = entry.license
    return found
