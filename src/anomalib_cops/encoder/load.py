"""Backbone name and weights → frozen CLIP."""

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import open_clip
import torch
from safetensors.torch import load_file
from torch import Tensor

from anomalib_cops.encoder import tiny
from anomalib_cops.encoder.download import weight_file
from anomalib_cops.encoder.frozen_clip import FrozenCLIP
from anomalib_cops.encoder.supported import check_config
from anomalib_cops.errors import InputError, nearest
from anomalib_cops.weights.format import check_finite, check_fits

TINY = "tiny"
PAPER_IMAGE_SIZE = 518
SCRIPT_CONSTANTS = ("input_resolution", "context_length", "vocab_size")


def load_clip(
    backbone: str = "ViT-L-14-336",
    pretrained: str | None = "openai",
    image_size: int | None = None,
    *,
    quick_gelu: bool | None = None,
    position_resize: Literal["bilinear", "bicubic"] = "bilinear",
    position_antialias: bool = False,
    cache_dir: str | None = None,
) -> FrozenCLIP:
    """Load a frozen CLIP that computes in float32.

    Args:
        backbone: an open_clip model name with a ViT image tower, or "tiny" for the embedded stand-in.
        pretrained: an open_clip tag, or a local file (OpenAI TorchScript archive, open_clip ``.bin``/``.pt``,
            ``.safetensors``); None makes random weights, in half precision as published ones are. Ignored for "tiny".
        image_size: side of the images in pixels, a multiple of the patch size; see :func:`native_image_size`.
        quick_gelu: the activation to use; the one the weights were trained with if not given, which is found out where
            possible.
        position_resize: how the position table is fitted to the image size.
        position_antialias: low-pass filter when the table shrinks.
        cache_dir: where downloads are kept; open_clip's usual folders if not given.

    Raises:
        InputError: unknown backbone or tag, no network, unreadable, foreign or non-finite weights, unknown
            activation, or an image size that does not fit.
    """
    config = model_config(backbone)
    check_config(config, backbone)
    size = image_size or native_image_size(backbone)
    options: dict[str, Any] = {"position_resize": position_resize, "position_antialias": position_antialias}
    if backbone == TINY:
        config, state = tiny.load_tiny_state()
        config = {**config, "quick_gelu": config["quick_gelu"] if quick_gelu is None else quick_gelu}
        return FrozenCLIP(build(config, state, source="the embedded tiny CLIP"), size, name=backbone, **options)
    quick = trained_with_quick_gelu(backbone, pretrained) if quick_gelu is None else quick_gelu
    config = {**config, "quick_gelu": quick}
    if pretrained is None:
        with _default_dtype(torch.float16):
            model = build(config)
        return FrozenCLIP(model, size, name=backbone, **options)
    path = find_weights(backbone, pretrained, cache_dir)
    model = build(config, read_state(path), source=str(path))
    return FrozenCLIP(model, size, name=backbone, pretrained=pretrained, **options)


def find_weights(backbone: str, pretrained: str, cache_dir: str | None = None) -> Path:
    """Path of a backbone's weights: a local file, or that of a tag, downloaded if need be.

    Raises:
        InputError: no such file or tag, or it cannot be downloaded.
    """
    local = Path(pretrained).expanduser()
    if local.is_file():
        return local
    if any(mark in pretrained for mark in ("/", "\\")) or local.suffix in (".pt", ".bin", ".safetensors", ".pth"):
        raise InputError(f"The weight file {pretrained} does not exist; check the path given as pretrained.")
    return weight_file(backbone, pretrained, cache_dir)


def model_config(backbone: str) -> dict[str, Any]:
    """open_clip's configuration of a backbone.

    Raises:
        InputError: the name is unknown; the nearest names are given.
    """
    if backbone == TINY:
        return tiny.load_tiny_config()
    config = open_clip.get_model_config(backbone)
    if config is None:
        raise InputError(f"Unknown backbone '{backbone}'{nearest(backbone, [TINY, *open_clip.list_models()])}")
    return dict(config)


def native_image_size(backbone: str) -> int:
    """The image side a backbone is used at: 518 for 14-pixel patches as in the papers, else its training size."""
    vision = model_config(backbone).get("vision_cfg", {})
    return PAPER_IMAGE_SIZE if vision.get("patch_size") == 14 else int(vision.get("image_size", 224))


def trained_with_quick_gelu(backbone: str, pretrained: str | None) -> bool:
    """Whether weights were trained with QuickGELU, x * sigmoid(1.702 x), rather than the exact GELU.

    A tag tells; a local OpenAI archive tells; any other local file is taken for what all tags of the backbone agree
    on.

    Raises:
        InputError: the file could be either.
    """
    plain = backbone.removesuffix("-quickgelu")
    if plain != backbone:
        return True
    if pretrained is None:
        return bool(model_config(backbone).get("quick_gelu", False))
    path = Path(pretrained).expanduser()
    if not path.is_file():
        return _tag_uses_quick_gelu(plain, pretrained)
    if _is_torchscript(path):
        return True
    answers = {_tag_uses_quick_gelu(plain, tag) for tag in open_clip.list_pretrained_tags_by_model(plain)}
    if len(answers) != 1:
        raise InputError(
            f"{path} does not say which activation its weights were trained with: set quick_gelu to true "
            "(OpenAI, MetaCLIP, DFN weights) or false (most LAION and DataComp weights)."
        )
    return answers.pop()


def build(config: dict[str, Any], state: dict[str, Tensor] | None = None, *, source: str = "") -> open_clip.CLIP:
    """Make open_clip's model from its configuration and fill it; its weights have the precision of ``state``.

    Args:
        config: embed_dim, vision_cfg, text_cfg, quick_gelu as open_clip's JSON files have them.
        state: all weights, keys as open_clip (and OpenAI) name them; random if not given.
        source: where they come from, for messages.

    Raises:
        InputError: the configuration is not that of a plain CLIP, or keys, shapes or values do not fit.
    """
    check_config(config)
    known = ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu")
    # Weights that come from a file are neither drawn before nor held twice.
    with torch.device("cpu" if state is None else "meta"):
        model = open_clip.CLIP(**{key: config[key] for key in known if key in config})
    _assert_activation(model, bool(config.get("quick_gelu", False)))
    if state is not None:
        _fill(model, state, source)
    return model


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a weight file without running code from it.

    Raises:
        InputError: unreadable, truncated, or it holds pickled code.
    """
    content: Any
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        elif _is_torchscript(path):
            with warnings.catch_warnings():
                # Deprecated for programs of one's own, but OpenAI's files are what they are.
                warnings.simplefilter("ignore")
                content = torch.jit.load(path, map_location="cpu").state_dict()
            for key in SCRIPT_CONSTANTS:
                content.pop(key, None)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        raise InputError(
            f"{path} is not a readable weight file (OpenAI .pt archive, open_clip .bin/.pt or .safetensors), or it "
            "holds pickled code, which is refused; get it again."
        ) from None
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} does not hold a dictionary of weights; give the CLIP weight file itself.")
    return {key.removeprefix("module."): value for key, value in state.items()}


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _tag_uses_quick_gelu(backbone: str, tag: str) -> bool:
    """open_clip 3 says so in the tag's entry; 2.24 lists such tags under the '-quickgelu' name."""
    entry = open_clip.get_pretrained_cfg(backbone, tag) or {}
    listed = open_clip.list_pretrained_tags_by_model(f"{backbone}-quickgelu")
    return bool(entry.get("quick_gelu", tag == "openai" or tag in listed))


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/")[1:2] == ["code"] for name in archive.namelist())


def _assert_activation(model: open_clip.CLIP, quick: bool) -> None:
    for tower in (model.visual.transformer, model.transformer):
        for block in tower.resblocks:
            found = type(block.mlp.gelu).__name__ == "QuickGELU"
            if found != quick:
                raise InputError(f"The model was built with QuickGELU={found} although its weights need {quick}.")


def _fill(model: open_clip.CLIP, state: dict[str, Tensor], source: str) -> None:
    check_fits(state, model.state_dict(), source)
    check_finite(state, source)
    model.load_state_dict(state, assign=True)
    # The one tensor that is in no file; open_clip made it without memory.
    size = model.positional_embedding.shape[0]
    model.attn_mask = torch.full((size, size), -torch.inf).triu(1)
