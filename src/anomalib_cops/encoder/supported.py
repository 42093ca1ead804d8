"""Which of open_clip's models are supported: Vision Transformers, its own or timm's, with its own text towers."""

from difflib import get_close_matches
from typing import Any, NoReturn

import open_clip
import timm
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import Tensor, nn

from anomalib_cops.encoder.blocks import ForeignModule
from anomalib_cops.encoder.image_only import ImageOnly
from anomalib_cops.encoder.text import pooling_of, text_module
from anomalib_cops.errors import InputError

CLIP_VOCABULARY = 49408
"""Number of token ids of CLIP's own tokenizer."""
TIMM_MODULES = ("vision_transformer", "vision_transformer_hybrid", "eva")
"""Modules of timm whose models may be image towers."""
READ_OUTS = ("argmax", "eos", "last", "first")
"""open_clip's names for the tokens that a text feature may be read from."""


def check_config(config: dict[str, Any], name: str = "custom") -> None:
    """Refuse configurations of unsupported models, before anything is downloaded or built.

    Args:
        config: configuration as in open_clip's JSON files; without ``text_cfg`` for an image tower alone.
        name: name of the backbone, for messages.

    Raises:
        InputError: naming what is not supported.
    """
    if problem := _problem(config):
        _refuse(name, problem)


def is_supported(config: dict[str, Any]) -> bool:
    """Return whether :func:`check_config` accepts a configuration."""
    return not _problem(config)


def check_supported(model: ForeignModule, name: str, *, own_tokenizer: bool) -> None:
    """Refuse models whose towers are not the transformers that the towers of this folder run.

    Args:
        model: open_clip's model.
        name: name of the backbone, for messages.
        own_tokenizer: whether the model comes with another tokenizer than CLIP's.

    Raises:
        InputError: naming what is not supported.
    """
    if not isinstance(model, (open_clip.CLIP, open_clip.CustomTextCLIP, ImageOnly)):
        _refuse(name, "it is not a CLIP of open_clip")
    if isinstance(model.visual, VisionTransformer):
        problem = _problem_of_open_clip(model.visual)
    elif isinstance(model.visual, TimmModel):
        problem = _problem_of_timm(model.visual.trunk)
    else:
        problem = "its image tower is not a Vision Transformer"
    text = text_module(model)
    if problem := problem or ("" if text is None else _problem_of_text(text, own_tokenizer)):
        _refuse(name, problem)


def _problem(config: dict[str, Any]) -> str:
    """Return what of a configuration is not supported, as a part of a sentence; empty if all is."""
    vision, text = config["vision_cfg"], config.get("text_cfg", {})
    timm_name = vision.get("timm_model_name")
    if config.get("multimodal_cfg") or text.get("embed_cls"):
        return "it is a CoCa, whose text tower also writes captions"
    if text.get("hf_model_name"):
        return f"its text tower is Hugging Face's {text['hf_model_name']}"
    if timm_name and not timm.is_model(timm_name):
        return f"its image tower {timm_name} needs a newer timm than {timm.__version__}"
    if timm_name and not timm.models.is_model_in_modules(timm_name, TIMM_MODULES):
        return f"its image tower {timm_name} is not a plain Vision Transformer"
    if isinstance(vision.get("layers"), list):
        return "its image tower is a ResNet"
    return _problem_of_tokens(
        text.get("vocab_size", CLIP_VOCABULARY), text.get("pool_type", "argmax"), bool(text.get("hf_tokenizer_name"))
    )


def _problem_of_open_clip(visual: ForeignModule) -> str:
    if getattr(visual, "attn_pool", None) is not None or getattr(visual, "pool_type", "tok") not in ("tok", "avg"):
        return "its image tower reads neither a class token nor the mean of its patches"
    return "" if _are_open_clips(visual.transformer) else "its image blocks are not the standard attention blocks"


def _problem_of_timm(trunk: ForeignModule) -> str:
    if not isinstance(trunk, (TimmVisionTransformer, Eva)):
        return f"its image tower {type(trunk).__name__} is not a plain Vision Transformer"
    if trunk.global_pool not in ("token", "avg", "map") or getattr(trunk.attn_pool, "pos_embed", None) is not None:
        return f"its image tower pools by '{trunk.global_pool}'"
    kinds = {type(block).__name__ for block in trunk.blocks}
    gated = any(getattr(block.attn, "gate", None) is not None for block in trunk.blocks)
    grouped = any(getattr(block.attn, "num_kv_groups", 1) > 1 for block in trunk.blocks)
    if (
        gated
        or grouped
        or getattr(trunk, "rope_mixed", False)
        or not kinds <= {"Block", "EvaBlock", "EvaBlockPostNorm"}
    ):
        return "its image blocks are not the standard attention blocks"
    return ""


def _problem_of_text(text: ForeignModule, own_tokenizer: bool) -> str:
    if getattr(text, "cls_emb", None) is not None or getattr(text, "use_pad_mask", False):
        return "its text tower has a class token, or hides the padding"
    if not hasattr(text, "transformer") or not _are_open_clips(text.transformer):
        return "its text blocks are not the standard attention blocks"
    if not isinstance(text.text_projection, (Tensor, nn.Linear, type(None))):
        return "its text tower does not end in a projection"
    return _problem_of_tokens(text.token_embedding.num_embeddings, pooling_of(text), own_tokenizer)


def _problem_of_tokens(vocabulary: int, pooling: str, own_tokenizer: bool) -> str:
    """Return why a text tower does not suit its tokenizer; empty if it does.

    Args:
        vocabulary: number of token embeddings; fewer than CLIP's are allowed, for tests.
        pooling: open_clip's name for the read-out.
        own_tokenizer: whether the tokenizer is another one than CLIP's.
    """
    if pooling not in READ_OUTS:
        return f"its text tower reads '{pooling}'"
    if own_tokenizer:
        return "its text tower reads the highest token, and its tokenizer is not CLIP's" if pooling == "argmax" else ""
    if vocabulary > CLIP_VOCABULARY:
        return f"its text tower knows {vocabulary} tokens and CLIP's tokenizer writes {CLIP_VOCABULARY}"
    return "its text tower reads the token 'eos', and CLIP's tokenizer has none" if pooling == "eos" else ""


def _are_open_clips(transformer: ForeignModule) -> bool:
    return all(type(block).__name__ == "ResidualAttentionBlock" for block in transformer.resblocks)


def _refuse(name: str, problem: str) -> NoReturn:
    """Raise the error that says why a backbone is not supported, and which similar one is.

    Raises:
        InputError: always.
    """
    supported = [each for each in open_clip.list_models() if is_supported(open_clip.get_model_config(each))]
    close = get_close_matches(name, supported, n=1, cutoff=0.5)
    advice = f"try {close[0]}" if close else "try ViT-L-14-336, ViT-B-16 or tiny"
    raise InputError(f"Backbone '{name}' cannot be used: {problem}; {advice}.")
