"""Which of open_clip's models are supported: plain CLIP transformers with CLIP's own tokenizer."""

from typing import Any, NoReturn

import open_clip
from torch import Tensor

from anomalib_cops.encoder.blocks import OpenClipModule
from anomalib_cops.errors import InputError

CLIP_VOCABULARY = 49408
"""Number of token ids of CLIP's own tokenizer."""
TOKENIZER_KEYS = ("hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs")
"""Keys of ``text_cfg`` that ask for another tokenizer."""


def check_config(config: dict[str, Any], name: str = "custom") -> None:
    """Refuse configurations of unsupported models, before anything is downloaded or built.

    Args:
        config: configuration as in open_clip's JSON files.
        name: name of the backbone, for messages.

    Raises:
        InputError: naming what is not supported.
    """
    vision, text = config["vision_cfg"], config["text_cfg"]
    foreign = "timm_model_name" in vision or "hf_model_name" in text or isinstance(vision.get("layers"), list)
    tokenizer = next((text[key] for key in TOKENIZER_KEYS if text.get(key)), None)
    if foreign or config.get("custom_text") or config.get("multimodal_cfg"):
        _refuse(name, "it is not a CLIP with open_clip's own Vision Transformer and text tower")
    if tokenizer is not None:
        _refuse(name, f"it reads text by another tokenizer than CLIP's ({tokenizer})")
    _check_text(text.get("vocab_size", CLIP_VOCABULARY), text.get("pool_type", "argmax"), name)


def check_supported(model: OpenClipModule, name: str) -> None:
    """Refuse models whose towers are not the plain CLIP transformers that the towers of this folder run.

    Raises:
        InputError: naming what is not supported.
    """
    visual = getattr(model, "visual", None)
    block = "ResidualAttentionBlock"
    if not isinstance(model, open_clip.CLIP) or not isinstance(visual, open_clip.transformer.VisionTransformer):
        _refuse(name, "it is not a CLIP with a Vision Transformer and CLIP's own text tower")
    if getattr(visual, "attn_pool", None) is not None or getattr(visual, "pool_type", "tok") != "tok":
        _refuse(name, "its image tower does not read a class token")
    if any(type(b).__name__ != block for b in (*visual.transformer.resblocks, *model.transformer.resblocks)):
        _refuse(name, "its blocks are not the standard attention blocks")
    if model.attn_mask is None:
        _refuse(name, "its text tower is not causal")
    if not isinstance(model.text_projection, Tensor):
        _refuse(name, "its text tower does not end in a plain projection")
    _check_text(model.token_embedding.num_embeddings, getattr(model, "text_pool_type", "argmax"), name)


def _check_text(vocabulary: int, pooling: str, name: str) -> None:
    """Refuse text towers with other token ids than CLIP's, or with another read-out than the end-of-text token.

    Args:
        vocabulary: number of token embeddings; fewer than CLIP's are allowed, for tests.
        pooling: open_clip's name for the read-out.
        name: name of the backbone.

    Raises:
        InputError: naming which.
    """
    if vocabulary > CLIP_VOCABULARY:
        _refuse(name, f"its text tower knows {vocabulary} tokens and CLIP's tokenizer writes {CLIP_VOCABULARY}")
    if pooling != "argmax":
        _refuse(name, f"its text tower reads the token '{pooling}' instead of the end of the text")


def _refuse(name: str, problem: str) -> NoReturn:
    """Raise the error that says why a backbone is not supported.

    Raises:
        InputError: always.
    """
    raise InputError(f"Backbone '{name}' cannot be used: {problem}; try ViT-L-14-336, ViT-B-16 or tiny.")
