"""Test that open_clip's models are read as open_clip reads them, or refused in words before anything is downloaded."""

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from anomalib_cops.encoder import FrozenCLIP, image_only_names, load_clip
from anomalib_cops.encoder.frozen_clip import trunk_kind
from anomalib_cops.encoder.load import build, native_image_size, new_model
from anomalib_cops.encoder.supported import CLIP_VOCABULARY, is_supported
from anomalib_cops.encoder.text import text_module
from anomalib_cops.errors import InputError
from tests.encoder.conftest import SMALL
from tests.towers.comparisons import Comparison, comparisons
from tests.towers.random_tower import known, random_tower

OF_OPEN_CLIP = [name for name in open_clip.list_models() if is_supported(open_clip.get_model_config(name))]


@pytest.mark.parametrize("name", [*OF_OPEN_CLIP, *image_only_names()])
def test_a_small_tower_computes_what_open_clip_and_timm_compute(name: str, tmp_path: Path) -> None:
    tower = random_tower(known(name), tmp_path, small=True)
    found = list(comparisons(tower))
    assert not [str(each) for each in found if not each.holds]
    texts = {"encode_text", "tokenize"} if tower.tokenizer else set()
    assert {"encode_image", "taps", "v-v path", *texts} <= {each.name for each in found}


def test_a_comparison_finds_a_difference_a_missing_value_and_another_shape() -> None:
    ones = torch.ones(2, 2)
    assert Comparison("same", ones, ones).holds
    for other in (ones + 1e-4, ones * torch.nan, ones[:1]):
        assert not Comparison("other", other, ones).holds


SIZES = [
    # name, depth, text depth, width, joint dimension, word size, context, image size, patch, prefix tokens
    ("ViT-L-14-336", 24, 12, 1024, 768, 768, 77, 518, 14, 1),
    ("ViT-L-14-worldwide", 24, 12, 1024, 768, 768, 77, 518, 14, 1),
    ("EVA02-L-14-336", 24, 12, 1024, 768, 768, 77, 336, 14, 1),
    ("EVA01-g-14", 40, 12, 1408, 1024, 768, 77, 224, 14, 1),
    ("ViT-SO400M-16-SigLIP2-512", 27, 27, 1152, 1152, 1152, 64, 512, 16, 0),
    ("ViT-SO400M-14-SigLIP-384", 27, 27, 1152, 1152, 1152, 64, 378, 14, 0),
    ("ViT-gopt-16-SigLIP2-256", 40, 27, 1536, 1536, 1152, 64, 256, 16, 0),
    ("PE-Core-L-14-336", 24, 24, 1024, 1024, 1024, 32, 336, 14, 1),
    ("PE-Core-bigG-14-448", 50, 24, 1536, 1280, 1280, 72, 448, 14, 0),
    ("ViT-L-14-CLIPA", 24, 12, 1024, 768, 768, 32, 518, 14, 1),
    ("MobileCLIP2-L-14", 24, 12, 1024, 768, 768, 77, 224, 14, 1),
]


@pytest.mark.parametrize("row", SIZES, ids=[row[0] for row in SIZES])
def test_a_tower_of_real_size_has_the_shapes_of_its_configuration(row: tuple) -> None:
    name, depth, text_depth, width, dim, words, context, size, patch, prefix = row
    assert native_image_size(known(name)) == size
    with torch.device("meta"):
        model = new_model(open_clip.get_model_config(name))
    trunk, patch_size, text = towers_of(model)
    assert (len(trunk.blocks), trunk.width, trunk.dim, trunk.prefix) == (depth, width, dim, prefix)
    assert (patch_size, len(text.transformer.resblocks)) == (patch, text_depth)
    assert (text.token_embedding.embedding_dim, text.context_length) == (words, context)
    assert size % patch == 0


def towers_of(model: Any) -> tuple[Any, int, Any]:
    """Return the trunk, its patch size and the text module of a model on the meta device, which has no values."""
    kind = trunk_kind(model)
    return kind(model.visual, None), kind.patch_size_of(model.visual), text_module(model)


REFUSED = {
    "RN50": "its image tower is a ResNet",
    "RN50x4-quickgelu": "its image tower is a ResNet",
    "convnext_base": "its image tower convnext_base is not a plain Vision Transformer",
    "MobileCLIP-S1": "fastvit_mci1 is not a plain Vision Transformer; try MobileCLIP-B",
    "ViTamin-L-336": "vitamin_large_336 is not a plain Vision Transformer; try ViT-L",
    "xlm-roberta-base-ViT-B-32": "its text tower is Hugging Face's xlm-roberta-base",
    "nllb-clip-base-siglip": "its text tower is Hugging Face's facebook/nllb",
    "coca_ViT-L-14": "it is a CoCa, whose text tower also writes captions; try ViT-L-14",
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_towers_are_refused_before_anything_is_fetched(name: str) -> None:
    with pytest.raises(InputError, match=f"Backbone '{known(name)}' cannot be used: .*{REFUSED[name]}") as raised:
        load_clip(name, "any tag")
    advice = str(raised.value).rsplit("try ", 1)[1].rstrip(".")
    assert all(each == "tiny" or is_supported(open_clip.get_model_config(each)) for each in advice.split(", ")[:1])


@pytest.mark.parametrize("name", open_clip.list_models())
def test_every_model_of_open_clip_is_supported_or_refused_for_its_architecture(name: str) -> None:
    config = open_clip.get_model_config(name)
    family = ("ViT-", "EVA0", "PE-Core", "MobileCLIP-B", "MobileCLIP2-B", "MobileCLIP2-L", "vit_medium")
    assert is_supported(config) == name.startswith(family)


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("text_cfg", {"vocab_size": CLIP_VOCABULARY + 1}, "knows 49409 tokens"),
        ("text_cfg", {"pool_type": "eos", "eos_id": 2}, "reads the token 'eos'"),
        ("text_cfg", {"pool_type": "none"}, "reads 'none'"),
        ("text_cfg", {"embed_cls": True}, "CoCa"),
        ("text_cfg", {"qk_norm": True}, "its text blocks are not the standard"),
        ("vision_cfg", {"qk_norm": True}, "its image blocks are not the standard"),
        ("vision_cfg", {"attentional_pool": True}, "class token"),
        ("text_cfg", {"hf_tokenizer_name": "some/tokenizer"}, "reads the highest token"),
    ],
)
def test_every_way_to_be_another_tower_is_named(part: str, change: dict[str, Any], words: str) -> None:
    config = {**SMALL, part: {**SMALL[part], **change}}
    with pytest.raises(InputError, match=f"cannot be used: .*{words}"):
        FrozenCLIP(build(config), 32)


def test_a_family_that_the_installed_release_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_clip, "list_models", lambda: ["ViT-B-16"])
    monkeypatch.setattr(open_clip, "get_model_config", lambda _: None)
    with pytest.raises(InputError, match="'PE-Core-L-14-336' needs open_clip 3.0 or newer, and .* is installed"):
        load_clip("PE-Core-L-14-336", "meta")
    with pytest.raises(InputError, match="Unknown backbone 'PE-Kern'"):
        load_clip("PE-Kern", "meta")


def test_a_model_made_elsewhere_is_looked_at_as_well() -> None:
    for change, words in (({"pool_type": "eos"}, "reads the token 'eos'"), ({"vocab_size": 50000}, "50000 tokens")):
        model = open_clip.CLIP(**{**SMALL, "text_cfg": {**SMALL["text_cfg"], **change}})
        with pytest.raises(InputError, match=f"Backbone 'mine' cannot be used: .*{words}"):
            FrozenCLIP(model, 32, name="mine")
