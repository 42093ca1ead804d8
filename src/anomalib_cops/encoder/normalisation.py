"""Mean and standard deviation of the colour channels that weights were trained with, by which images are normalised."""

import logging
from pathlib import Path
from typing import TypeAlias

from anomalib_cops.encoder.state import is_torchscript
from anomalib_cops.encoder.tags import entry_of, tags_of

logger = logging.getLogger(__name__)

ChannelValues: TypeAlias = tuple[float, float, float]
"""One value for each colour channel: red, green, blue."""
CLIP_MEAN: ChannelValues = (0.48145466, 0.4578275, 0.40821073)
"""Mean of each colour channel, in [0, 1], in OpenAI's CLIP and in almost all weights of others."""
CLIP_STD: ChannelValues = (0.26862954, 0.26130258, 0.27577711)
"""Standard deviation of each colour channel in the same weights."""


def trained_with_normalisation(backbone: str, pretrained: str) -> tuple[ChannelValues, ChannelValues]:
    """Return the mean and the standard deviation of the colour channels that weights were trained with.

    They are known of tags and of OpenAI's archives, which all use CLIP's. Other local files get the values that all
    tags of the backbone share. If the tags differ, such a file gets CLIP's values, or those of the first tag where none
    has CLIP's, and a warning names all of them.

    Args:
        backbone: model name of open_clip, or of timm for an image tower alone.
        pretrained: tag or local file of the weights.
    """
    path = Path(pretrained).expanduser()
    if not path.is_file():
        return _of_tag(backbone, pretrained)
    if is_torchscript(path):
        return CLIP_MEAN, CLIP_STD
    by_tag = {tag: _of_tag(backbone, tag) for tag in tags_of(backbone)}
    clips = CLIP_MEAN, CLIP_STD
    used = clips if clips in by_tag.values() or not by_tag else next(iter(by_tag.values()))
    others = [
        f"those of '{tag}' with mean {mean} and std {std}" for tag, (mean, std) in by_tag.items() if (mean, std) != used
    ]
    if others:
        logger.warning(
            "%s does not say how the images of its training were normalised: the model uses %smean %s and std %s. "
            "Some weights of %s need others (%s); give such weights by their tag.",
            path,
            "CLIP's " if used == clips else "",
            *used,
            backbone,
            ", ".join(others),
        )
    return used


def _of_tag(backbone: str, tag: str) -> tuple[ChannelValues, ChannelValues]:
    """Look a tag up; open_clip means CLIP's values where an entry has none."""
    entry = entry_of(backbone, tag)
    mean, std = entry.get("mean") or CLIP_MEAN, entry.get("std") or CLIP_STD
    return tuple(mean), tuple(std)
