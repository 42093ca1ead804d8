"""The script that trains the embedded stand-in, and its parts."""

import json
import random
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from anomalib_cops.data.synthetic import CATEGORIES, DEFECTS, draw
from anomalib_cops.encoder import tiny
from anomalib_cops.encoder.frozen_clip import FrozenCLIP
from anomalib_cops.encoder.load import build
from tools.tiny_clip import average as averaging
from tools.tiny_clip import train as training
from tools.tiny_clip.captions import PICTURED, Captions, tokenize
from tools.tiny_clip.muon import Muon, optimizers, orthogonal
from tools.tiny_clip.objective import Trainee
from tools.tiny_clip.pool import Pool, augment
from tools.tiny_clip.record import checkpoint, restore, start_name
from tools.tiny_clip.weight_file import save_tiny_state

WEIGHTS = Path(str(files(tiny).joinpath("weights.safetensors")))


def test_muon_steps_are_of_equal_size_in_all_directions() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(24, 24) @ torch.diag(torch.logspace(0, -1.5, 24)) @ torch.randn(24, 24)
    assert torch.linalg.cond(matrix) > 50
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert values.max() < 1.3 and values.median() > 0.6
    wide = torch.randn(8, 40)
    torch.testing.assert_close(orthogonal(wide), orthogonal(wide.T).T, atol=0.02, rtol=0)
    weight = torch.nn.Parameter(torch.zeros(12, 4))
    weight.grad = torch.cat([torch.randn(4, 4) * factor for factor in (1, 100, 1)])
    Muon([weight], lr=0.5).step()
    thirds = [float(part.norm()) for part in weight.detach().chunk(3)]
    assert max(thirds) < 2 * min(thirds), "queries, keys and values are not treated as three matrices"


def test_training_goes_on_where_the_checkpoint_was(tmp_path: Path) -> None:
    config = tiny.load_tiny_config()
    both = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        trainee = Trainee(config)
        optimizers_ = optimizers(trainee, hidden_rate=0.02, rate=1e-3, decay=0.0)
        both.append((trainee, Trainee(config), optimizers_))
    trainee, average, steppers = both[0]
    trainee.encode_image(torch.randn(2, 3, 120, 120))[0].pow(3).sum().backward()
    for stepper in steppers:
        stepper.step()
    checkpoint(tmp_path / "checkpoint.pt", trainee, average, steppers, {"steps": 1})
    assert restore(tmp_path / "checkpoint.pt", *both[1]) == {"steps": 1}
    for (name, a), b in zip(trainee.named_parameters(), both[1][0].parameters(), strict=True):
        assert torch.equal(a, b), name
    kept = both[1][2][0].state_dict()["state"]
    assert len(kept) == 4 * config["vision_cfg"]["layers"]
    assert all(torch.equal(kept[key]["average"], steppers[0].state_dict()["state"][key]["average"]) for key in kept)


def test_training_can_start_from_a_weight_file() -> None:
    torch.manual_seed(0)
    trainee = Trainee(tiny.load_tiny_config())
    packaged = tiny.load_tiny_state()[1]
    trainee.start_from(packaged)
    state = trainee.full_state()
    apart = ("token_embedding.weight", "visual.proj")
    assert all(torch.equal(state[name], value) for name, value in packaged.items() if name not in apart)
    scale = state["visual.proj"] / packaged["visual.proj"]
    torch.testing.assert_close(scale, scale.flatten()[0].expand_as(scale))
    assert state["visual.proj"].std().item() == pytest.approx(len(scale) ** -0.5, rel=1e-3)
    assert torch.equal(state["token_embedding.weight"][trainee.ids], packaged["token_embedding.weight"][trainee.ids])
    assert "steps" in start_name(WEIGHTS) and start_name(None) == "random weights"


def test_smoke_training_learns_and_reads_back(tmp_path: Path) -> None:
    training.main(["--smoke", "--out", str(tmp_path), "--seed", "3"])
    steps = [entry for entry in map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines()) if "total" in entry]
    totals = [entry["total"] for entry in steps]
    assert sum(totals[-3:]) / 3 < totals[0] - 0.7
    config, state = tiny.load_tiny_state(tmp_path / "weights.safetensors")
    assert FrozenCLIP(build(config, state), 120).dim == config["embed_dim"]
    assert "stand-in" in (tmp_path / "card.md").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {
        "card.md",
        "checkpoint.pt",
        "log.jsonl",
        "weights.safetensors",
    }


def test_a_resumed_training_follows_the_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(training.SMOKE, steps=2)
    monkeypatch.setattr(training, "_schedule", lambda *_: 1.0)
    training.train(recipe, out=tmp_path, seed=0, workers=1)
    before = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    monkeypatch.setattr(training, "_schedule", lambda *_: 0.0)
    done = training.train(replace(recipe, steps=3), out=tmp_path, seed=0, workers=1, resume=True)
    after = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert (before["done"]["steps"], done["steps"], done["resumed"]) == (2, 3, [2])
    assert all(torch.equal(value, after["trainee"][name]) for name, value in before["trainee"].items())


def test_average_of_trainings_is_one_model(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "card.md").write_text("| seed | 1 |\n| averaged | its own weights of the last steps |\nend")
    files = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        trainee = Trainee(tiny.load_tiny_config())
        torch.nn.init.normal_(trainee.rows)
        files.append(tmp_path / f"{seed}.safetensors")
        save_tiny_state(files[-1], trainee.full_state(), trainee.ids, {"seed": str(seed), "steps": "5"})
    assert averaging.main([*map(str, files), "--out", str(tmp_path / "out")]) == 0
    mean, *parts = (tiny.load_tiny_state(path)[1] for path in (tmp_path / "out" / "weights.safetensors", *files))
    for name in ("token_embedding.weight", "visual.conv1.weight", "text_projection"):
        torch.testing.assert_close(mean[name], (parts[0][name] + parts[1][name]) / 2, atol=2e-3, rtol=2e-3)
    card = (tmp_path / "out" / "card.md").read_text()
    assert "| averaged | these and those of earlier trainings: seed 0 (5 steps); seed 1 (5 steps) |\nend" in card
    assert averaging.main([str(files[0]), "--out", str(tmp_path / "out")]) == 2


def test_text_in_training_is_the_loaded_models_text(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trainee = Trainee(tiny.load_tiny_config())
    torch.nn.init.normal_(trainee.rows)
    save_tiny_state(tmp_path / "w.safetensors", trainee.full_state(), trainee.ids, {})
    loaded = FrozenCLIP(build(*tiny.load_tiny_state(tmp_path / "w.safetensors")), 120)
    lines = ["a photo of a damaged gear.", "flawless zebra", "gear"]
    with torch.no_grad():
        expected = trainee.encode_text(lines)
    torch.testing.assert_close(F.normalize(loaded.text.encode_sentences(lines), dim=-1), expected, atol=5e-3, rtol=0)


def test_image_features_in_training_are_the_loaded_models(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trainee = Trainee(tiny.load_tiny_config())
    save_tiny_state(tmp_path / "w.safetensors", trainee.full_state(), trainee.ids, {})
    loaded = FrozenCLIP(build(*tiny.load_tiny_state(tmp_path / "w.safetensors")), 120)
    images = torch.randn(2, 3, 120, 120)
    with torch.no_grad():
        cls, patches = trainee.encode_image(images)
    features = loaded.image.encode(images, layers=[loaded.depth], local_start=1)
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
        changed = F.avg_pool2d(turned[:, 1] - turned[:, 0], 12).abs().mean(1)
        assert torch.equal(changed.flatten(1).argmax(1), moved.flatten(1).argmax(1))
        assert turned[:, 0].std(dim=(2, 3)).max() < 1e-4, "the flawless picture is no longer flat"


def test_looks_stand_for_their_words_only() -> None:
    torch.manual_seed(0)
    trainee = Trainee(tiny.load_tiny_config())
    torch.nn.init.normal_(trainee.rows)
    captions = Captions.random(random.Random(0), [0, 1], pictured=12)
    looks = torch.randn(24, 2, 192)
    with torch.no_grad():
        found = trainee.encode_text(captions.all(), looks)
        for word in (0, 1):
            changed = looks.clone()
            changed[:, word] += 1
            differ = (trainee.encode_text(captions.all(), changed) != found).any(1)
            ids = tokenize(captions.all())
            assert torch.equal(differ, (ids == PICTURED[word]).any(1))
            assert 0 < differ.sum() < 24


def test_captions_say_state_and_category() -> None:
    captions = Captions.random(random.Random(1))
    assert len(captions.states) == 2 * len(captions.bare)
    assert len(set(captions.all())) == len(captions.all())
    longest = tokenize(captions.all()).shape[1]
    assert longest < 77
