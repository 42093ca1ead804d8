"""Names of the official CoPS checkpoint (28 tensors) and where each goes here."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from anomalib_cops.errors import InputError
from anomalib_cops.weights import check_finite

STACKED = {"context": ("ctx_pos", "ctx_neg"), "prototypes.queries": ("t_n", "t_a")}
"""Ours: official tensors of the normal and the anomalous state."""

RENAMED = {
    "prototypes.": "extractor.",
    "vae.decoder.hidden.": "vae_decoder.net.0.",
    "vae.decoder.out.": "vae_decoder.net.2.",
    "vae.hidden.": "vae_encoder.net.0.",
    "vae.mean.": "vae_encoder.mean.",
    "vae.log_variance.": "vae_encoder.log_var.",
    "deep.tokens.": "compound_prompts_text.",
}
"""Ours: official prefix. The VAE encoder is missing from published checkpoints: the test does not need it."""

TRAINING_ONLY = ("vae.hidden.", "vae.mean.", "vae.log_variance.")


SUFFIXES = (".pth", ".pt")
ENTRY = "prompt_learner"


def read_official(path: str | Path) -> dict[str, Tensor]:
    """Read an official checkpoint without running code from it.

    Raises:
        InputError: missing, unreadable, with pickled code, with NaN, or something else than such a checkpoint.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"The weight file {path} does not exist; check the path given as weights.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        raise InputError(f"{path} is corrupted or holds pickled code, which is refused; get it again.") from None
    tensors = content.get(ENTRY) if isinstance(content, dict) else None
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise InputError(f"{path} is not an official CoPS checkpoint: it has no entry '{ENTRY}' with tensors.")
    check_finite(tensors, str(path))
    return dict(tensors)


def official_names(name: str) -> tuple[str, ...]:
    """Official tensors behind one of ours: two for what is stacked by state, else one."""
    if name in STACKED:
        return STACKED[name]
    for ours, official in RENAMED.items():
        if name.startswith(ours):
            return (official + name.removeprefix(ours),)
    raise KeyError(name)


def from_official(official: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Rename and reshape an official checkpoint's tensors.

    Args:
        official: the file's "prompt_learner" dictionary.
        expected: our trained tensors, for names and shapes.
        source: the file, for messages.

    Returns:
        Ours by name; the VAE encoder is left out where the file lacks it.

    Raises:
        InputError: listing missing, unknown or wrongly shaped keys.
    """
    result: dict[str, Tensor] = {}
    used: set[str] = set()
    wrong: list[str] = []
    for name, ours in expected.items():
        keys = official_names(name)
        if name.startswith(TRAINING_ONLY) and not any(key in official for key in keys):
            continue
        used.update(keys)
        parts = [official[key].float() for key in keys if key in official]
        if len(parts) < len(keys) or sum(part.numel() for part in parts) != ours.numel():
            wrong.extend(keys)
            continue
        result[name] = torch.stack(parts).reshape(ours.shape) if name in STACKED else parts[0].reshape(ours.shape)
    wrong.extend(sorted(set(official) - used))
    if wrong:
        raise InputError(f"{source} is not an official CoPS checkpoint for this model: {', '.join(wrong)} do not fit.")
    return result
