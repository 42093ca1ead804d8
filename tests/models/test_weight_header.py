"""Test that weight files record encoder, settings and training sets, which are compared on every use."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from anomalib_cops import AnomalyCLIP, CoPS, ZeroShotTransfer
from anomalib_cops.data.train_test_overlap import training_sources
from anomalib_cops.encoder.identity import weights_digest
from anomalib_cops.encoder.load import load_clip
from anomalib_cops.errors import InputError
from anomalib_cops.weights.format import CHECKPOINT_KEY, read_weights
from anomalib_cops.weights.header import check_same_encoder
from tests.models.cases import make
from tests.models.runs import engine, transfer
from tests.models.weight_files import copied_folder, header, mvtec_bottle, with_header

LATER = ("encoder", "trained_on", "version")
"""Entries that headers of the first version do not have."""


def test_a_weight_file_says_encoder_settings_sources_and_version(narrow: Any) -> None:
    model, _, path, _ = narrow
    file = read_weights(path, "CoPS")
    assert file.encoder == model.clip.identity and len(file.encoder.digest) == 64
    assert file.settings["neighbourhood"] == 1 and file.version
    assert [(each["set"], each["categories"]) for each in file.trained_on or []] == [
        ("synthetic", ["leather", "washer"])
    ]
    assert {"threshold.image", "threshold.pixel"} <= set(file.tensors)


@pytest.mark.parametrize("road", ["weights", "ckpt_path", "load_from_checkpoint"])
def test_what_contradicts_weights_is_told_with_both_values(narrow: Any, road: str, tmp_path: Path) -> None:
    _, checkpoint, path, _ = narrow
    with pytest.raises(InputError, match=r"trained with neighbourhood=1, and neighbourhood=3 was given"):
        if road == "weights":
            CoPS(weights=str(path), neighbourhood=3)
        elif road == "load_from_checkpoint":
            CoPS.load_from_checkpoint(checkpoint, neighbourhood=3)
        else:
            bare = CoPS(backbone="tiny", neighbourhood=3, visualizer=False)
            engine(tmp_path).test(bare, datamodule=transfer(), ckpt_path=checkpoint)


def test_a_preset_beside_weights_is_told(narrow: Any) -> None:
    with pytest.raises(InputError, match=r"preset='mvtec' means neighbourhood=3, .* brings neighbourhood=1"):
        CoPS(weights=str(narrow[2]), preset="mvtec")


def test_a_test_may_set_what_was_not_learned(narrow: Any) -> None:
    settings = CoPS(weights=str(narrow[2]), n_samples=3, spatial=False).model.settings
    assert (settings.n_samples, settings.spatial, settings.neighbourhood) == (3, False, 1)


def test_prompts_never_meet_other_clip_weights(narrow: Any, tmp_path: Path) -> None:
    model, _, path, _ = narrow
    other = json.dumps({**json.loads(header(path)["encoder"]), "digest": "0" * 64, "pretrained": "laion"})
    with pytest.raises(InputError, match="trained on the CLIP weights 'laion'"):
        CoPS(weights=with_header(path, tmp_path / "w.safetensors", encoder=other))
    twin = load_clip("tiny")
    assert twin.identity == model.clip.identity
    twin.model.visual.proj.data[0, 0] += 1
    changed = replace(twin.identity, digest=weights_digest(twin.model))
    with pytest.raises(InputError, match="its prompts mean nothing here"):
        check_same_encoder(read_weights(path, "CoPS"), changed)


def test_a_model_that_was_rounded_is_still_on_the_same_encoder(tmp_path: Path) -> None:
    model = AnomalyCLIP(backbone="tiny", visualizer=False).bfloat16()
    assert AnomalyCLIP(weights=str(model.save_weights(tmp_path / "w.safetensors"))).has_trained_weights


def test_half_and_full_precision_of_the_same_weights_are_one_encoder(clip: Any) -> None:
    half, full = copy.deepcopy(clip).half(), copy.deepcopy(clip).half().float()
    assert len({make("CoPS", stored).clip.identity.digest for stored in (half, full)}) == 1


def test_another_activation_is_told() -> None:
    weights = AnomalyCLIP(backbone="tiny")
    identity = weights.clip.identity
    file = weights.weight_file("w.safetensors")
    with pytest.raises(InputError, match="trained with quick_gelu"):
        check_same_encoder(file, type(identity)(**{**vars(identity), "quick_gelu": not identity.quick_gelu}))


@pytest.mark.parametrize("backbone", ["ViT-B-16", "ViT-L-14"])
def test_published_prompts_never_meet_another_encoder(backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anomalib_cops.weights.download.fetch", lambda *_: Path("visa.pth"))
    monkeypatch.setattr("anomalib_cops.models.assembly.read_official", lambda *_: {})
    with pytest.raises(InputError, match=f"trained on 'ViT-L-14-336' .* backbone='{backbone}' was given"):
        CoPS(weights="visa", backbone=backbone)
    with pytest.raises(InputError, match="pretrained='laion2b_s32b_b82k' was given"):
        CoPS(weights="visa", pretrained="laion2b_s32b_b82k")


def test_files_of_the_first_version_still_load(narrow: Any, tmp_path: Path) -> None:
    _, checkpoint, path, _ = narrow
    old = with_header(path, tmp_path / "old.safetensors", **dict.fromkeys(LATER))
    assert set(header(Path(old))) == {"format_version", "method", "backbone", "image_size", "settings"}
    model = CoPS(weights=old, visualizer=False)
    assert model.has_trained_weights and model.trained_on is None
    content = torch.load(checkpoint, weights_only=True)
    content[CHECKPOINT_KEY] = header(Path(old))
    torch.save(content, tmp_path / "old.ckpt")
    assert CoPS.load_from_checkpoint(tmp_path / "old.ckpt").model.settings.neighbourhood == 1


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("settings", "{"),
        ("settings", "[1]"),
        ("settings", '{"heads": 3}'),
        ("settings", '{"neighbourhood": 2}'),
        ("image_size", "large"),
        ("format_version", "1.5"),
        ("format_version", "3"),
        ("encoder", '{"colour": 1}'),
        ("trained_on", "3"),
    ],
)
def test_odd_headers_end_in_a_sentence(narrow: Any, tmp_path: Path, entry: str, value: str) -> None:
    odd = with_header(narrow[2], tmp_path / "odd.safetensors", **{entry: value})
    with pytest.raises(InputError):
        CoPS(weights=odd)


def test_a_test_on_the_training_set_is_refused(narrow: Any, tmp_path: Path) -> None:
    data = transfer(source_categories=["carpet"], target_categories=["leather"])
    with pytest.raises(InputError, match=r"trained on synthetic \(leather\)"):
        engine(tmp_path / "run").test(CoPS(weights=str(narrow[2]), visualizer=False), datamodule=data)


def test_a_test_on_the_training_set_is_refused_in_anomalibs_data_modules_too(narrow: Any, tmp_path: Path) -> None:
    trained_on = json.dumps([{"set": "mvtec", "categories": ["bottle"]}])
    seen = with_header(narrow[2], tmp_path / "seen.safetensors", trained_on=trained_on)
    with pytest.raises(InputError, match=r"trained on mvtec \(bottle\)"):
        engine(tmp_path / "run").test(CoPS(weights=seen, visualizer=False), datamodule=mvtec_bottle(tmp_path))


def test_a_test_on_a_copy_of_the_training_set_is_refused(narrow: Any, tmp_path: Path) -> None:
    data = copied_folder(tmp_path)
    first = ZeroShotTransfer(source=str(tmp_path / "first"), num_workers=0)
    first.setup()
    seen = with_header(narrow[2], tmp_path / "seen.safetensors", trained_on=json.dumps(training_sources(first)))
    with pytest.raises(InputError, match=r"trained on second \(second\)"):
        engine(tmp_path / "run").test(CoPS(weights=seen, visualizer=False), datamodule=data)


def test_other_images_of_the_same_names_and_sizes_are_not_taken_for_seen(tmp_path: Path) -> None:
    found = []
    for level in (10, 20):
        for part in ("good", "defect", "mask"):
            (tmp_path / str(level) / part).mkdir(parents=True)
            for index in range(2):
                shown = 255 if part == "mask" else level + index
                Image.new("L", (8, 8), shown).save(tmp_path / str(level) / part / f"{index}.bmp")
        data = ZeroShotTransfer(source=str(tmp_path / str(level)), num_workers=0)
        data.setup()
        found += training_sources(data)
    assert found[0]["fingerprints"]["10"] != found[1]["fingerprints"]["20"]
