"""The embedded stand-in: its file, what it knows, and the script that trains it."""

import json
import random
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch.nn import functional as F

from anomalib_cops.clip import tiny
from anomalib_cops.clip.encoder import FrozenCLIP
from anomalib_cops.clip.load import build, load_clip
from anomalib_cops.clip.tiny import train as training
from anomalib_cops.clip.tiny.captions import Captions, tokenize, vocabulary
from anomalib_cops.clip.tiny.handwritten import Pictures, measure
from anomalib_cops.clip.tiny.objective import Trainee
from anomalib_cops.clip.tiny.pool import Pool, augment
from anomalib_cops.data.synthetic import CATEGORIES, DEFECTS, draw
from anomalib_cops.errors import InputError

WEIGHTS = Path(str(files(tiny).joinpath("weights.safetensors")))


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
    known = vocabulary()
    unknown = tokenize(["zebra"])[0, 1]
    assert unknown not in known
    torch.testing.assert_close(table[unknown], table[known].mean(0), atol=1e-3, rtol=0)
    assert table.dtype == torch.float32
    assert len(table[known].unique(dim=0)) == len(known)


def test_hand_written_sentences_still_do_what_the_card_says(clip: FrozenCLIP) -> None:
    card, _, _ = WEIGHTS.with_name("card.md").read_text().partition("## Loss")
    numbers = re.findall(r"^\| (\d+) \|" + r" ([\d.]+) \|" * 6 + "$", card, flags=re.MULTILINE)[-1]
    category, image, _, _, pixel = map(float, numbers[2:])
    assert category > 0.9 and image > 0.7 and pixel > 0.85
    found = measure(clip, Pictures.draw(6, seed=11, size=clip.image_size))
    assert found["category_accuracy"] > 0.9 * category
    assert found["image_auroc"] > 0.9 * image
    assert found["pixel_auroc"] > 0.9 * pixel


def test_smoke_training_learns_and_reads_back(tmp_path: Path) -> None:
    training.main(["--smoke", "--out", str(tmp_path), "--seed", "3"])
    steps = [entry for entry in map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines()) if "total" in entry]
    totals = [entry["total"] for entry in steps]
    assert sum(totals[-3:]) / 3 < totals[0] - 0.2
    config, state = tiny.load_tiny_state(tmp_path / "weights.safetensors")
    assert FrozenCLIP(build(config, state), 120).dim == config["embed_dim"]
    assert "stand-in" in (tmp_path / "card.md").read_text()
    assert not list(tmp_path.glob("*.partial"))


def test_text_in_training_is_the_loaded_models_text(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trainee = Trainee(tiny.load_tiny_config())
    torch.nn.init.normal_(trainee.rows)
    tiny.save_tiny_state(tmp_path / "w.safetensors", trainee.full_state(), trainee.ids, {})
    loaded = FrozenCLIP(build(*tiny.load_tiny_state(tmp_path / "w.safetensors")), 120)
    lines = ["a photo of a damaged gear.", "flawless zebra", "gear"]
    with torch.no_grad():
        expected = trainee.encode_text(lines)
    torch.testing.assert_close(F.normalize(loaded.encode_sentences(lines), dim=-1), expected, atol=5e-3, rtol=0)


def test_image_features_in_training_are_the_loaded_models(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trainee = Trainee(tiny.load_tiny_config())
    tiny.save_tiny_state(tmp_path / "w.safetensors", trainee.full_state(), trainee.ids, {})
    loaded = FrozenCLIP(build(*tiny.load_tiny_state(tmp_path / "w.safetensors")), 120)
    images = torch.randn(2, 3, 120, 120)
    with torch.no_grad():
        cls, patches = trainee.encode_image(images)
    features = loaded.encode_image(images, layers=[loaded.depth], path="local")
    torch.testing.assert_close(F.normalize(features.cls, dim=-1), cls[1], atol=1e-2, rtol=0)
    torch.testing.assert_close(F.normalize(features.patches[0], dim=-1), patches["local"], atol=1e-2, rtol=0)


def test_pool_holds_pairs_and_every_batch_is_of_few_categories() -> None:
    pool = Pool.draw(2 * len(CATEGORIES), seed=5, size=60, grid=5, workers=1)
    second = draw(CATEGORIES[3], 1, seed=5, anomalous=True, size=60)
    row = len(CATEGORIES) + 3
    assert np.array_equal(pool.images[row, 1], second.image)
    assert pool.coverage[row].mean() == pytest.approx(second.mask.mean(), abs=1e-6)
    assert DEFECTS[pool.defects[row]] == second.defect
    shown = torch.zeros(len(pool.images), dtype=torch.long)
    batches = pool.batches(4, 4, seed=0)
    for _ in range(60):
        rows, chosen = next(batches)
        assert sorted(pool.categories[rows].tolist()) == sorted(chosen)
        shown[rows] += 1
    both = shown.view(2, -1)
    assert (both[0] - both[1]).abs().max() <= 1, "a pair was shown again before its sister"


def test_augmentation_moves_picture_and_coverage_alike() -> None:
    coverage = torch.zeros(6, 5, 5)
    coverage[:, 1, 3] = 1
    images = torch.zeros(6, 2, 60, 60, 3, dtype=torch.uint8)
    images[:, 1, 12:24, 36:48] = 255
    for seed in range(12):
        turned, moved = augment(images, coverage, torch.Generator().manual_seed(seed))
        bright = F.avg_pool2d(turned[:, 1], 12).mean(1)
        assert torch.equal(bright.flatten(1).argmax(1), moved.flatten(1).argmax(1))
        assert turned[:, 0].std(dim=(2, 3)).max() < 1e-4, "the flawless picture is no longer flat"


def test_captions_say_state_and_category() -> None:
    captions = Captions.random(random.Random(1))
    assert len(captions.states) == 2 * len(captions.bare)
    assert len(set(captions.all())) == len(captions.all())
    longest = tokenize(captions.all()).shape[1]
    assert longest < 77


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
