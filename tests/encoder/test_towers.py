"""Every model that open_clip lists: read as open_clip reads it, or refused in words before anything is downloaded."""

import copy
from typing import Any

import open_clip
import pytest
import torch

from anomalib_cops.encoder import FrozenCLIP, load_clip
from anomalib_cops.encoder.load import build
from anomalib_cops.encoder.supported import CLIP_VOCABULARY, check_config
from anomalib_cops.errors import InputError
from tests.encoder.conftest import SMALL

SENTENCES = ["a photo of a cat", "Ein Käfer, 3 mm lang!"]


def shrunk(config: dict[str, Any]) -> dict[str, Any]:
    """The same architecture with few and narrow blocks."""
    config = copy.deepcopy(config)
    patch = config["vision_cfg"].get("patch_size", 16)
    head = config["vision_cfg"].get("head_width", 64)
    config["embed_dim"] = 32
    config["vision_cfg"] |= {"layers": 2, "width": 2 * head, "image_size": 2 * patch}
    config["text_cfg"] |= {"layers": 2, "width": 32, "heads": 2}
    return config


@pytest.mark.parametrize("name", open_clip.list_models())
def test_what_is_accepted_is_read_as_open_clip_reads_it(name: str) -> None:
    config = open_clip.get_model_config(name)
    try:
        check_config(config, name)
        small = shrunk(config)
        torch.manual_seed(0)
        clip = FrozenCLIP(build(small), small["vision_cfg"]["image_size"], name=name)
    except InputError as error:
        assert str(error).startswith(f"Backbone '{name}' cannot be used: ") and "\n" not in str(error)
        assert not name.startswith("ViT-") or any(word in name for word in ("SigLIP", "CLIPA", "worldwide")), error
        return
    images = torch.randn(2, 3, clip.image_size, clip.image_size)
    ids = open_clip.get_tokenizer(name)(SENTENCES)
    assert torch.equal(clip.text.tokenize(SENTENCES), ids)
    with torch.no_grad():
        torch.testing.assert_close(
            clip.text.encode_sentences(SENTENCES), clip.model.encode_text(ids), atol=1e-5, rtol=1e-4
        )
        found = clip.image.encode(images, layers=[2], normalize_cls=True).cls
        torch.testing.assert_close(found, clip.model.encode_image(images), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ViT-H-14-worldwide", "another tokenizer than CLIP's .facebook/xlm-v-base"),
        ("ViT-L-14-worldwide-quickgelu", "another tokenizer than CLIP's"),
        ("ViT-L-14-CLIPA", "another tokenizer than CLIP's"),
        ("ViT-B-16-SigLIP", "not a CLIP with open_clip's own Vision Transformer"),
        ("xlm-roberta-base-ViT-B-32", "not a CLIP with open_clip's own"),
        ("RN50", "not a CLIP with open_clip's own"),
    ],
)
def test_other_towers_are_refused_before_anything_is_fetched(name: str, words: str) -> None:
    if open_clip.get_model_config(name) is None:
        pytest.skip(f"this release of open_clip has no {name}")
    with pytest.raises(InputError, match=f"Backbone '{name}' cannot be used: .*{words}"):
        load_clip(name, "any tag")


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("text_cfg", {"hf_tokenizer_name": "some/tokenizer"}, "another tokenizer"),
        ("text_cfg", {"tokenizer_kwargs": {"clean": "canonicalize"}}, "another tokenizer"),
        ("text_cfg", {"vocab_size": CLIP_VOCABULARY + 1}, "knows 49409 tokens"),
        ("text_cfg", {"pool_type": "eos", "eos_id": 2}, "reads the token 'eos'"),
        ("text_cfg", {"pool_type": "last"}, "reads the token 'last'"),
        ("text_cfg", {"no_causal_mask": True}, "not causal"),
        ("text_cfg", {"proj_bias": True}, "plain projection"),
        ("vision_cfg", {"pool_type": "avg"}, "class token"),
        ("vision_cfg", {"attentional_pool": True}, "class token"),
    ],
)
def test_every_way_to_be_another_tower_is_named(part: str, change: dict[str, Any], words: str) -> None:
    config = {**SMALL, part: {**SMALL[part], **change}}
    with pytest.raises(InputError, match=f"cannot be used: .*{words}"):
        FrozenCLIP(build(config), 32)


def test_a_model_made_elsewhere_is_looked_at_as_well() -> None:
    for change, words in (({"pool_type": "last"}, "reads the token 'last'"), ({"vocab_size": 50000}, "50000 tokens")):
        model = open_clip.CLIP(**{**SMALL, "text_cfg": {**SMALL["text_cfg"], **change}})
        with pytest.raises(InputError, match=f"Backbone 'mine' cannot be used: .*{words}"):
            FrozenCLIP(model, 32, name="mine")
