"""Load a frozen CLIP from the name of a backbone and the name or file of its weights."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeAlias

import open_clip
import torch
from torch import Tensor

from anomalib_cops.encoder import tiny
from anomalib_cops.encoder.blocks import ForeignModule
from anomalib_cops.encoder.download import HUB_FILES, weight_file
from anomalib_cops.encoder.frozen_clip import FrozenCLIP
from anomalib_cops.encoder.image_only import TRUNK, ImageOnly, image_only_config, image_only_names
from anomalib_cops.encoder.normalisation import trained_with_normalisation
from anomalib_cops.encoder.state import is_torchscript, read_state
from anomalib_cops.encoder.supported import check_config
from anomalib_cops.encoder.tags import entry_of, tags_of
from anomalib_cops.encoder.text import text_module
from anomalib_cops.encoder.tokenizer import load_tokenizer
from anomalib_cops.errors import InputError, nearest
from anomalib_cops.tensors import check_finite, check_fits

FIRST_RELEASES = {
    "SigLIP2": ("open_clip_torch", "2.31"),
    "PE-Core": ("open_clip_torch", "3.0"),
    "worldwide": ("open_clip_torch", "3.1"),
    "MobileCLIP2": ("open_clip_torch", "3.2"),
    "dinov3": ("timm", "1.0.20"),
}
"""Package and release that brought a family, by a part of its models' names."""
AnyModel: TypeAlias = open_clip.CLIP | open_clip.CustomTextCLIP | ImageOnly
PAPER_IMAGE_SIZE = 518
"""Side in pixels of the images in the papers, which use 14-pixel patches."""


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
        backbone: an open_clip model name with a ViT image tower, one of timm's DINOv2 or DINOv3 names for an image
            tower without a text tower, or "tiny" or "tiny-looks" for an embedded stand-in.
        pretrained: a tag of the backbone, a local file (OpenAI TorchScript archive, open_clip ``.bin``/``.pt``,
            ``.safetensors``), or a folder with such a file as the hub names it; None makes random weights, in half
            precision as published ones are. A tokenizer that is saved beside a local file is used with it. Ignored for
            "tiny".
        image_size: side of the images in pixels, a multiple of the patch size. By default that of
            :func:`native_image_size`.
        quick_gelu: use QuickGELU rather than GELU; what the weights were trained with if not given, see
            :func:`trained_with_quick_gelu`.
        position_resize: interpolation by which the position table is fitted to the image size.
        position_antialias: apply a low-pass filter when the table shrinks.
        cache_dir: folder for downloads; open_clip's usual folders if not given.

    Raises:
        InputError: the backbone or tag is unknown, there is no network, the weights are unreadable, not finite or of
            another model, their activation is unknown, or the image size does not fit.
    """
    config = model_config(backbone)
    check_config(config, backbone)
    options: dict[str, Any] = {"position_resize": position_resize, "position_antialias": position_antialias}
    if backbone in tiny.STAND_INS:
        config, state = tiny.load_tiny_state(tiny.tiny_weights(backbone))
        config = {**config, "quick_gelu": config["quick_gelu"] if quick_gelu is None else quick_gelu}
        model = build(config, state, source="the embedded tiny CLIP")
        return FrozenCLIP(model, image_size or native_image_size(backbone), name=backbone, **options)
    path = None if pretrained is None else find_weights(backbone, pretrained, cache_dir)
    # What a tag does not say of a local file is found out from the file itself.
    named = str(path) if pretrained and Path(pretrained).expanduser().is_dir() else pretrained
    quick = trained_with_quick_gelu(backbone, named) if quick_gelu is None else quick_gelu
    if quick and "text_cfg" not in config:
        raise InputError(f"Backbone '{backbone}' has no QuickGELU; leave quick_gelu out.")
    config = {**config, "quick_gelu": quick}
    if "text_cfg" in config:
        beside = path.parent if path else None
        options["tokenizer"] = load_tokenizer(config["text_cfg"], backbone, beside, cache_dir=cache_dir)
    if path is None:
        with _default_dtype(torch.float16):
            model = build(config).half()
    else:
        options["mean"], options["std"] = trained_with_normalisation(backbone, str(named))
        model = build(config, read_state(path), source=str(path))
    return FrozenCLIP(
        model, image_size or native_image_size(backbone), name=backbone, pretrained=pretrained or "", **options
    )


def find_weights(backbone: str, pretrained: str, cache_dir: str | None = None) -> Path:
    """Return the path of a backbone's weights: a local file, one in a local folder, or that of a tag.

    The weights of a tag are downloaded if they are not cached.

    Raises:
        InputError: there is no such file or tag, or it cannot be downloaded.
    """
    local = Path(pretrained).expanduser()
    if local.is_file():
        return local
    if local.is_dir():
        for name in HUB_FILES:
            if (local / name).is_file():
                return local / name
        raise InputError(f"The folder {pretrained} holds no weights; a file named {' or '.join(HUB_FILES)} is needed.")
    if any(mark in pretrained for mark in ("/", "\\")) or local.suffix in (".pt", ".bin", ".safetensors", ".pth"):
        raise InputError(f"The weight file {pretrained} does not exist; check the path given as pretrained.")
    return weight_file(backbone, pretrained, cache_dir)


def model_config(backbone: str) -> dict[str, Any]:
    """Return the configuration of a backbone, as open_clip writes them; without ``text_cfg`` for an image tower alone.

    Raises:
        InputError: the name is unknown; the message gives the nearest names, or the release of open_clip that has it.
    """
    if backbone in tiny.STAND_INS:
        return tiny.load_tiny_config()
    if backbone in image_only_names():
        return image_only_config(backbone)
    config = open_clip.get_model_config(backbone)
    if config is None:
        known = [*tiny.STAND_INS, *open_clip.list_models(), *image_only_names()]
        for part, (package, release) in FIRST_RELEASES.items():
            if part in backbone and not any(part in each for each in known):
                called = package.removesuffix("_torch")
                raise InputError(
                    f"Backbone '{backbone}' needs {called} {release} or newer, and {version(package)} is installed; "
                    f"upgrade with pip install --upgrade {package}."
                )
        raise InputError(f"Unknown backbone '{backbone}'{nearest(backbone, known)}")
    return dict(config)


def native_image_size(backbone: str) -> int:
    """Return the default image side in pixels.

    It is 518 for open_clip's own Vision Transformers with 14-pixel patches, as in the papers. For all others it is the
    size that the configuration names, without the pixels at its border that fill no patch.
    """
    vision = model_config(backbone).get("vision_cfg", {})
    if vision.get("patch_size") == 14:
        return PAPER_IMAGE_SIZE
    size = int(vision.get("image_size", 224))
    return size - size % patch_of(vision)


def patch_of(vision: dict[str, Any]) -> int:
    """Return the side of a patch in pixels by a ``vision_cfg``: in the name of a tower of timm, else a number.

    It is 16 where neither says it, as in MobileCLIP.
    """
    found = re.search(r"patch(\d+)", vision.get("timm_model_name") or "")
    return int(found[1] if found else vision.get("patch_size", 16))


def trained_with_quick_gelu(backbone: str, pretrained: str | None) -> bool:
    """Return whether weights were trained with QuickGELU, x * sigmoid(1.702 x), rather than the exact GELU.

    This is known of tags, of backbone names ending in "-quickgelu" and of OpenAI's archives, which all use it. Image
    towers without a text tower never do. Other local files get the activation that all tags of the backbone share.

    Args:
        backbone: model name.
        pretrained: tag or local file of the weights; None for random ones.

    Raises:
        InputError: the tags of the backbone differ, so the file could use either.
    """
    plain = backbone.removesuffix("-quickgelu")
    if plain != backbone:
        return True
    if pretrained is None:
        return bool(model_config(backbone).get("quick_gelu", False))
    path = Path(pretrained).expanduser()
    if not path.is_file():
        return _tag_uses_quick_gelu(plain, pretrained)
    if is_torchscript(path):
        return True
    answers = {_tag_uses_quick_gelu(plain, tag) for tag in tags_of(plain)}
    if len(answers) != 1:
        raise InputError(
            f"{path} does not say which activation its weights were trained with: set quick_gelu to true "
            "(OpenAI, MetaCLIP, DFN weights) or false (most LAION and DataComp weights)."
        )
    return answers.pop()


def build(config: dict[str, Any], state: dict[str, Tensor] | None = None, *, source: str = "") -> AnyModel:
    """Build a model from its configuration and load its weights, which keep their precision.

    Args:
        config: result of :func:`model_config`.
        state: all weights, keys as open_clip (and OpenAI) name them, or as timm does for an image tower alone; random
            weights if not given.
        source: where the weights come from, for messages.

    Raises:
        InputError: the configuration is not supported, or keys, shapes or values do not fit.
    """
    check_config(config)
    if config["vision_cfg"].get("timm_model_name"):
        # timm's models compute tables when they are made, which neither the meta device nor half precision can hold.
        with _default_dtype(torch.float32):
            model = new_model(config)
    else:
        # On the meta device, weights that will come from a file are neither drawn first nor held twice.
        with torch.device("cpu" if state is None else "meta"):
            model = new_model(config)
    _assert_activation(model, bool(config.get("quick_gelu", False)))
    if state is not None:
        _fill(model, state, source)
    return model


def new_model(config: dict[str, Any]) -> AnyModel:
    """Return the model of a configuration, with new weights on torch's default device."""
    if "text_cfg" not in config:
        return ImageOnly(config["vision_cfg"])
    kind = open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP
    known = ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "init_logit_bias")
    return kind(**{key: config[key] for key in known if key in config})


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _tag_uses_quick_gelu(backbone: str, tag: str) -> bool:
    """Look a tag up: open_clip 3 has an entry for it, 2.24 lists such tags under the '-quickgelu' backbone."""
    entry = entry_of(backbone, tag)
    listed = open_clip.list_pretrained_tags_by_model(f"{backbone}-quickgelu")
    return bool(entry.get("quick_gelu", tag == "openai" or tag in listed))


def _assert_activation(model: ForeignModule, quick: bool) -> None:
    """Check the activation of open_clip's own blocks; timm's image towers have their own, whatever is asked for."""
    for tower in (text_module(model), model.visual):
        for block in tower.transformer.resblocks if hasattr(tower, "transformer") else ():
            found = type(block.mlp.gelu).__name__ == "QuickGELU"
            if found != quick:
                raise InputError(f"The model was built with QuickGELU={found} although its weights need {quick}.")


def _fill(model: ForeignModule, state: dict[str, Tensor], source: str) -> None:
    if isinstance(model, open_clip.CustomTextCLIP):
        # Some files name the text tower's weights as a plain CLIP does.
        state = open_clip.model.convert_to_custom_text_state_dict(state)
    if isinstance(model, ImageOnly):
        state = {f"{TRUNK}{name}": value for name, value in state.items()}
    check_fits(state, model.state_dict(), source)
    check_finite(state, source)
    model.load_state_dict(state, assign=True)
    text = text_module(model)
    if text is not None and text.attn_mask is not None:
        # The causal mask is in no file, and open_clip may have made it on the meta device.
        size = text.positional_embedding.shape[0]
        text.attn_mask = torch.full((size, size), -torch.inf).triu(1)
