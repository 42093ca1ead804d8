"""Look up the pretrained tags of a backbone: in open_clip, or in timm for image towers without a text tower."""

from typing import Any

import open_clip
import timm

from anomalib_cops.encoder.image_only import image_only_names


def tags_of(backbone: str) -> list[str]:
    """Return the pretrained tags of a backbone; none if it is unknown."""
    if backbone in image_only_names():
        return [name.partition(".")[2] for name in timm.list_pretrained(f"{backbone}.*")]
    return list(open_clip.list_pretrained_tags_by_model(backbone))


def entry_of(backbone: str, tag: str) -> dict[str, Any]:
    """Return what open_clip lists of a tag: address or repository, mean and std, QuickGELU; empty if it is unknown."""
    if backbone in image_only_names():
        if tag not in tags_of(backbone):
            return {}
        entry: Any = timm.models.get_pretrained_cfg(f"{backbone}.{tag}")
        return {"hf_hub": f"{entry.hf_hub_id}/model.safetensors", "mean": entry.mean, "std": entry.std}
    return open_clip.get_pretrained_cfg(backbone, tag) or {}
