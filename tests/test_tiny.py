"""Test the embedded stand-in: its file, its accuracy, and the script that trains it."""

import hashlib
import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from anomalib_cops.data.synthetic import LEVELS, draw
from anomalib_cops.encoder import tiny
from anomalib_cops.encoder.frozen_clip import FrozenCLIP
from anomalib_cops.encoder.load import load_clip
from anomalib_cops.errors import InputError
from anomalib_cops.models.cops.settings import CoPSSettings
from anomalib_cops.models.cops.torch_model import CoPSModel
from tools.tiny_clip.captions import tokenize
from tools.tiny_clip.card import with_evaluation
from tools.tiny_clip.evaluate import measure_subset
from tools.tiny_clip.handwritten import Pictures
from tools.tiny_clip.learned import TESTED, TRAINED, VARIANTS, Seen, finder, learn, linear, transfer
from tools.tiny_clip.photographs import judge, photographs
from tools.tiny_clip.pool import normalise

WEIGHTS = Path(str(files(tiny).joinpath("weights.safetensors")))
EVALUATION = json.loads(WEIGHTS.with_name("evaluation.json").read_text())


@pytest.fixture(scope="module")
def clip() -> FrozenCLIP:
    return load_clip("tiny")


def test_shapes_fit_the_methods(clip: FrozenCLIP) -> None:
    assert clip.grid >= 10
    assert clip.image_size <= 128
    assert clip.dim == clip.text_width
    assert clip.dim % 12 == 0
    assert clip.text_depth >= 9
    assert sum(p.numel() for p in clip.model.visual.parameters()) <= 5_000_000


def test_packaged_file_is_small_and_labelled() -> None:
    assert WEIGHTS.stat().st_size <= 16 * 2**20
    with safe_open(WEIGHTS, framework="pt") as archive:
        metadata = archive.metadata()
    assert "stand-in" in metadata["label"]
    assert "not a detector for production" in metadata["label"]
    assert int(metadata["steps"]) > 0
    json.loads(metadata["recipe"])
    card = WEIGHTS.with_name("card.md").read_text()
    assert "not a detector for production" in card
    assert f"| steps | {metadata['steps']} of" in card, "the card describes other weights than the packaged ones"


def test_unknown_words_share_the_mean_row() -> None:
    _, state = tiny.load_tiny_state()
    table = state["token_embedding.weight"]
    with safe_open(WEIGHTS, framework="pt") as archive:
        known = archive.get_tensor(tiny.ROW_IDS).long()
    unknown = tokenize(["zebra"])[0, 1]
    assert unknown not in known
    torch.testing.assert_close(table[unknown], table[known].mean(0), atol=1e-3, rtol=0)
    assert table.dtype == torch.float32
    assert len(table[known].unique(dim=0)) == len(known)


def test_packaged_weights_reach_95_percent_of_the_card(clip: FrozenCLIP) -> None:
    found = measure_subset(clip)
    for name in ("category_accuracy", "image_auroc", "pixel_auroc"):
        assert found[name] >= 0.95 * EVALUATION["subset"][name], name


def test_evaluation_is_of_the_packaged_weights_and_in_the_card() -> None:
    assert EVALUATION["weights"] == hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    card = WEIGHTS.with_name("card.md").read_text()
    assert with_evaluation(card, EVALUATION) == card, "the card tells other numbers than the evaluation beside it"
    assert set(EVALUATION["written"]) == set(LEVELS)
    assert set(EVALUATION["synthetic"]) == {"hand-written", "linear classifiers", *VARIANTS}


def test_card_shows_every_number_and_means_over_sets() -> None:
    figures = {"image_auroc": 0.5, "pixel_auroc": 0.75}
    found = {
        "a/x": {"images": 3, "hand-written": figures, "CoPS": {"image_auroc": 0.9, "pixel_auroc": 0.8}},
        "a/y": {"images": 4, "hand-written": figures, "CoPS": {"image_auroc": 0.7, "pixel_auroc": 0.6}},
        "b/z": {"images": 5, "hand-written": {"image_auroc": 0.7}, "CoPS": {"image_auroc": 0.4}},
    }
    card = with_evaluation(
        "before\n<!-- evaluation -->\nold\n<!-- /evaluation -->\nafter", EVALUATION | {"photographs": found}
    )
    assert card.startswith("before\n") and card.endswith("\nafter") and "\nold\n" not in card
    assert "| b/z | 5 | 0.700 | – | 0.400 | – |" in card
    # Each set counts once, however many categories it has: (0.8 + 0.4) / 2.
    assert "| mean of 2 sets |  | 0.600 | 0.750 | 0.600 | 0.700 |" in card


def test_prompts_are_learned_on_categories_that_are_not_tested(clip: FrozenCLIP) -> None:
    assert len(TRAINED) == len(TESTED) == 8
    assert not set(TRAINED) & set(TESTED)
    pictures = Seen.by(clip, Pictures.draw(2, seed=4, size=clip.image_size, categories=TRAINED[:2]))
    before = {name: value.clone() for name, value in clip.state_dict().items()}
    first, again, other = (
        transfer(finder(learn(clip, variant, pictures, epochs=1, seed=3)), pictures)
        for variant in ("CoPS", "CoPS", "static prompts")
    )
    assert first == again != other
    assert all(torch.equal(before[name], value) for name, value in clip.state_dict().items())


def test_linear_classifiers_learn_what_they_are_shown(clip: FrozenCLIP) -> None:
    shown, others = (
        Seen.by(clip, Pictures.draw(count, seed=5, size=clip.image_size, level="easy", categories=TRAINED[:2]))
        for count in (8, 4)
    )
    assert transfer(linear(shown), shown) == {"image_auroc": 1.0, "pixel_auroc": pytest.approx(0.97, abs=0.03)}
    shuffled = replace(shown.pictures, labels=shown.pictures.labels.flip(0), masks=shown.pictures.masks.flip(0))
    wrong = transfer(linear(replace(shown, pictures=shuffled)), others)
    assert wrong["image_auroc"] < transfer(linear(shown), others)["image_auroc"]


def test_photographs_in_folders_are_judged(clip: FrozenCLIP, tmp_path: Path) -> None:
    for label, anomalous in (("good", False), ("defect", True)):
        for index in range(3):
            sample = draw("leather", index, anomalous=anomalous, size=90)
            for kind, pixels in ((label, sample.image), ("mask", sample.mask * np.uint8(255))):
                path = tmp_path / "hides" / "leather" / kind / f"{label}{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                if anomalous or kind != "mask":
                    Image.fromarray(pixels).save(path)
    sets = photographs([tmp_path / "hides"], elpv=False)
    assert list(sets) == ["hides/leather"]
    model = CoPSModel(clip, CoPSSettings(neighbourhood=1))
    judged = judge(clip, model, sets["hides/leather"], "leather")
    assert judged["hand-written"]["pixel_auroc"] > 0.7
    assert set(judged["CoPS"]) == {"image_auroc", "pixel_auroc"}


def test_class_features_of_the_packaged_weights_are_moderate(clip: FrozenCLIP) -> None:
    shown = Pictures.draw(1, seed=3, size=120, level="medium")
    found = clip.image.encode(normalise(shown.images), layers=[clip.depth]).cls
    assert found.square().mean().sqrt().item() == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("content", [b"", b"not a weight file at all"])
def test_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="mine.safetensors is not a weight file of the tiny CLIP"):
        tiny.load_tiny_state(path)


def test_truncated_weights_are_named(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    path.write_bytes(WEIGHTS.read_bytes()[: WEIGHTS.stat().st_size // 2])
    with pytest.raises(InputError, match="half.safetensors"):
        tiny.load_tiny_state(path)
